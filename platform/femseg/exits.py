"""How every command ends: a refusal as one line with its exit code, no traceback unless asked for; and on signals."""

import atexit
import errno
import gc
import getpass
import io
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from femseg.errors import Refusal, without_credentials, words_of
from femseg.faults import ExitCode


def debugging() -> bool:
    """Whether tracebacks are wanted (`--debug`, or FEMSEG_DEBUG=1 in the environment)."""
    return os.environ.get("FEMSEG_DEBUG", "") not in ("", "0")


def _print_without_credentials(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python prints of an error that nobody caught; libraries put addresses with passwords into theirs."""
    sys.stderr.write(without_credentials("".join(traceback.format_exception(kind, error, trace))))


def _settle_surroundings() -> None:
    """What a terminal cannot show is written out, and a user without a name, as in a container, is a number."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):  # DVC wraps them
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the libraries ask for it, too
        os.environ["LOGNAME"] = str(os.getuid())


@contextmanager
def _disks_faults_named() -> Iterator[None]:
    """Raises: Refusal ST-06 (exit 5) for a disk that is full or read-only, and where no temporary file can be made."""
    try:
        yield
    except OSError as error:
        nowhere = str(error.strerror).startswith("No usable temporary directory")
        if nowhere or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            fix = "free space, or set TMPDIR to a folder that may be written; what was written whole is intact"
            place = "temporary folder" if nowhere else error.filename or "a disk"
            raise Refusal.of("ST-06", place, f"cannot be written: {error.strerror}", fix) from error
        raise


@contextmanager
def command_exit(*, as_json: bool = False) -> Iterator[None]:
    """Run a command's body; turn what it raises into lines on stderr (or JSON on stdout) and the right exit code."""
    if debugging():
        sys.excepthook = _print_without_credentials
    _settle_surroundings()
    atexit.register(gc.freeze)  # an ending process needs no garbage sought: among MLflow's objects, most of a second
    try:
        with _disks_faults_named():
            yield
    except Refusal as refusal:
        if debugging():
            raise
        if as_json:
            print(json.dumps({"faults": [fault.as_dict() for fault in refusal.faults]}, indent=2))
        for fault in refusal.faults:
            print(fault, file=sys.stderr)
        sys.exit(int(refusal.exit_code))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(int(ExitCode.INTERRUPTED))
    except Exception as error:
        if debugging():
            raise
        code = int(ExitCode.INTERNAL)
        problem = f"{type(error).__name__}: {words_of(error)}"
        fix = "this is a fault of femseg; run again with FEMSEG_DEBUG=1 and report the traceback"
        if as_json:
            said = {"id": "INTERNAL", "file": "femseg", "problem": problem, "fix": fix, "exit_code": code}
            print(json.dumps({"faults": [said]}, indent=2))
        print(f"error INTERNAL: femseg: {problem}. Fix: {fix}.", file=sys.stderr)
        sys.exit(code)


@contextmanager
def on_signal(answer: Callable[[], object], *numbers: int) -> Iterator[None]:
    """Call `answer` at SIGTERM and SIGINT, or these signals, while the block runs; they do not end the process.

    Python hands signals to the main thread alone; in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = numbers or (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda signum, frame: answer()) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
