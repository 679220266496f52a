"""How every command ends: refusals as one line each with their exit code, no traceback unless asked for."""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from femseg.errors import Refusal, without_credentials, words_of
from femseg.faults import ExitCode


def debugging() -> bool:
    """Whether tracebacks are wanted (`--debug`, or FEMSEG_DEBUG=1 in the environment)."""
    return os.environ.get("FEMSEG_DEBUG", "") not in ("", "0")


def _traceback_without_credentials(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What Python prints of an error that nobody caught; libraries put addresses with passwords into theirs."""
    sys.stderr.write(without_credentials("".join(traceback.format_exception(kind, error, trace))))


@contextmanager
def command_exit(*, as_json: bool = False) -> Iterator[None]:
    """Run a command's body; turn what it raises into lines on stderr (or JSON on stdout) and the right exit code."""
    if debugging():
        sys.excepthook = _traceback_without_credentials
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
