"""How every command ends: a refusal as one line with its exit code, no traceback unless asked for; and on signals."""

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


@contextmanager
def command_exit(*, as_json: bool = False) -> Iterator[None]:
    """Run a command's body; turn what it raises into lines on stderr (or JSON on stdout) and the right exit code."""
    if debugging():
        sys.excepthook = _print_without_credentials
    try:
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
