"""What an optional part of femseg needs, and the line that installs it."""

from collections.abc import Iterator
from contextlib import contextmanager

from femseg.errors import Refusal


@contextmanager
def extra_needed(extra: str, what: str) -> Iterator[None]:
    """Around imports of what needs an extra of ours. Raises: Refusal CFG-02 (exit 2) where it is not installed."""
    try:
        yield
    except ImportError as error:
        if (error.name or "femseg").partition(".")[0] == "femseg":
            raise
        problem = f"needs {error.name}, which is not installed here"
        raise Refusal.of("CFG-02", what, problem, f"pip install 'femseg[{extra}]'") from None
