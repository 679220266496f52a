"""One process at a time works in a run folder; a dead one's claim dies with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from femseg.claim import claimed_by


@contextmanager
def claimed(folder: Path, *, fault_id: str = "ST-08") -> Iterator[None]:
    """Hold a run folder while the block runs; a dead holder's claim is taken over, and said so.

    Raises: Refusal (exit 2) naming host and process of whoever holds it already.
    """
    with claimed_by(folder / ".claim", fault_id=fault_id):
        yield
