"""`femseg` in forks of one process that has loaded it, each ended with kill -9 at a chosen instant."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: its exit code, -9 if it was killed; how long it took; what it said."""

    code: int
    seconds: float
    said: str


class Forks:
    """The commands that a loaded process runs, one after the other."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def run(self, *words: object, touch: int = 0, folder: Path | None = None, after_s: float = 0.0) -> Ended:
        """Run `femseg` with these words.

        Args:
            touch: kill it before it opens, makes, renames or removes something in `folder` for that many times.
            after_s: kill it after so many seconds.
        """
        job = {"words": [str(word) for word in words], "touch": touch, "folder": str(folder), "after_s": after_s}
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return Ended(**json.loads(self.process.stdout.readline()))


@contextmanager
def loaded_femseg() -> Iterator[Forks]:
    """Load femseg once; a fork of it then takes no time to start."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forks(process)
        assert process.stdin
        process.stdin.close()


def _kill_at(touch: int, folder: str) -> None:
    left = touch
    events = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link")

    def hook(event: str, values: tuple[Any, ...]) -> None:
        nonlocal left
        if event in events and any(
            isinstance(v, str | os.PathLike) and os.fspath(v).startswith(folder) for v in values
        ):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _forked(job: dict[str, Any], log: BinaryIO) -> Ended:
    from femseg.cli.main import main

    began = time.monotonic()
    pid = os.fork()
    if not pid:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.argv = ["femseg", *job["words"]]
        if job["touch"]:
            _kill_at(job["touch"], job["folder"])
        code = 1
        try:
            main()
        except SystemExit as ending:
            code = int(ending.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if job["after_s"]:
        time.sleep(job["after_s"])
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    log.seek(0)
    said = log.read().decode(errors="replace")
    return Ended(code=code, seconds=time.monotonic() - began, said=said)


if __name__ == "__main__":
    import tempfile
    from dataclasses import asdict

    import femseg.cli.segment  # noqa: F401  # what the command would load only when it runs

    for line in sys.stdin:
        with tempfile.TemporaryFile() as log:
            print(json.dumps(asdict(_forked(json.loads(line), log))), flush=True)
