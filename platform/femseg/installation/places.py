"""Disks, encoding, the DVC remote, and the connections that a command opens."""

import configparser
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from femseg.errors import Fault, printable, without_credentials
from femseg.installation.packages import Found

_ROOM_BYTES = 2 << 30
_PORTS = {"http": 80, "https": 443, "ssh": 22, "s3": 443}
_ANSWER_WITHIN_S = 3.0
_CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")


def disk_found(what: str, folder: Path, *, needed_bytes: int = _ROOM_BYTES) -> Found:
    """How much room there is."""
    free = shutil.disk_usage(folder).free
    words = f"{free / 2**30:.1f} GiB free at {printable(folder)}"
    if free >= needed_bytes:
        return Found(what=what, words=words)
    problem = f"{words}, fewer than {needed_bytes / 2**30:.2g}"
    return Found(what=what, fault=Fault("PP-09", what, problem, "free space, or choose another folder"))


def encoding_found() -> Found:
    """Whether names and texts of any language can be written."""
    names, terminal = sys.getfilesystemencoding(), sys.stdout.encoding or "none"
    if names.lower().replace("-", "") != "utf8":
        fix = "set LANG=C.UTF-8, or PYTHONUTF8=1"
        problem = f"file names are read as {names}, so that those of other languages cannot be"
        return Found(what="encoding", fault=Fault("CFG-02", "locale", problem, fix))
    return Found(what="encoding", words=f"file names {names}, terminal {terminal}")


def remote_found(root: Path) -> Found:
    """Whether there is a DVC remote that can be reached; a server is asked for a connection, no more."""
    if not (root / ".dvc").is_dir():
        return Found(what="DVC remote", words="no DVC project here")
    config = _dvc_config(root)
    name = config.get("core", "remote", fallback="")
    if not name:
        return Found(what="DVC remote", words="none: data and models lie on this disk alone")
    section = next((s for s in (f"'remote \"{name}\"'", f'remote "{name}"') if config.has_section(s)), "")
    url = config.get(section, "url", fallback="") if section else ""
    if not url:
        return _to_mend("CFG-01", f"{name} has no url", f"dvc remote modify {name} url …")
    if not urlsplit(url).scheme or url.startswith("file://"):
        return _folder_found(name, root / ".dvc" / url.removeprefix("file://"))
    return _server_found(name, url, config[section])


def _dvc_config(root: Path) -> configparser.ConfigParser:
    """As DVC reads it: of the system, of the user, of the project, of this machine's copy."""
    config = configparser.ConfigParser(interpolation=None, strict=False)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    try:
        config.read(
            [Path("/etc/xdg/dvc/config"), home / "dvc/config", root / ".dvc/config", root / ".dvc/config.local"]
        )
    except (configparser.Error, UnicodeDecodeError):
        return configparser.ConfigParser()  # DVC itself says what is wrong with it
    return config


def _folder_found(name: str, folder: Path) -> Found:
    if not folder.is_dir():
        return _to_mend(
            "ST-09", f"{name}: {printable(folder)} is not there", "mount its disk; a first `dvc push` makes it"
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return _to_mend("ST-09", f"{name}: {printable(folder)} may not be written", "give yourself the right")
    return Found(what="DVC remote", words=f"{name}: {printable(folder)} may be read and written")


def _server_found(name: str, url: str, options: Mapping[str, str]) -> Found:
    scheme = urlsplit(url).scheme
    if scheme == "s3" and find_spec("dvc_s3") is None:
        return _to_mend("CFG-02", f"{name} is in S3, whose client is not installed", "pip install 'femseg[cluster]'")
    asked = url
    if scheme == "s3":
        asked = options.get("endpointurl") or os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com"
    parts = urlsplit(asked)
    port = parts.port or _PORTS.get(parts.scheme)
    said = without_credentials(url)
    if parts.hostname is None or port is None:
        return Found(what="DVC remote", words=f"{name}: {said}; not asked")
    try:
        socket.create_connection((parts.hostname, port), timeout=_ANSWER_WITHIN_S).close()
    except OSError as error:
        problem = f"{name}: {said}: {parts.hostname}:{port} does not answer ({error.strerror or error})"
        return _to_mend("ST-09", problem, "look whether it is up, and reached from here")
    return Found(what="DVC remote", words=f"{name}: {said}; {parts.hostname}:{port} answers")


def _to_mend(id_: str, problem: str, fix: str) -> Found:
    return Found(what="DVC remote", fault=Fault(id_, "DVC remote", problem, fix))


def connections_from_now_on() -> list[str]:
    """Every address that Python code connects or sends to from now on, as Python's audit hook tells; it fills itself.

    Sockets of this machine's file system do not count. What a library opens in C, as a database's driver does, the hook
    does not see.
    """
    heard: list[str] = []

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if event in _CONNECTING and isinstance(address := arguments[1], tuple):
            heard.append(":".join(map(str, address[:2])))

    sys.addaudithook(listen)
    return heard
