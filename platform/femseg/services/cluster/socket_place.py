"""Where Ray keeps a private session's sockets. Apart from the session itself: to ask for it loads no Ray."""

import os
import shutil
import tempfile

from femseg.errors import Refusal

_ROOM_BYTES = 107 - len("/ray/session_2026-11-29_03-38-26_590151_4194304/sockets/plasma_store")
SESSION_BYTES = 64 << 20


def place_for_sockets() -> str:
    """Where Ray keeps a private session: TMPDIR, or a short name that may be written, for a socket's has 107 bytes.

    Raises: Refusal ST-06 (exit 5) if there is no such place with room.
    """
    asked = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
    for place in (asked, "/tmp", "/var/tmp", "/dev/shm"):
        short = len(os.fsencode(place)) <= _ROOM_BYTES and os.access(place, os.W_OK | os.X_OK)
        if short and shutil.disk_usage(place).free >= SESSION_BYTES:
            return place
    problem = f"nor /tmp, /var/tmp and /dev/shm can take Ray's session: full, read-only or beyond {_ROOM_BYTES} letters"
    raise Refusal.of("ST-06", asked, problem, f"set TMPDIR to a short path with {SESSION_BYTES >> 20} MiB of room")
