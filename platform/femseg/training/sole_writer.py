"""One process writes into a run's folder, also while an earlier one is still being ended."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from femseg.errors import Refusal
from femseg.files.lock import locked
from femseg.training.agreement import raised_together
from femseg.training.surroundings import Surroundings

_PREDECESSOR_S = 30.0


@contextmanager
def sole_writer(folder: Path, around: Surroundings) -> Iterator[None]:
    """Rank 0 holds the run's folder while the block runs; every rank must call it.

    A driver that was killed may leave ranks that train on for some seconds, and a rank that hangs may come back to
    life: two that write the same checkpoint could leave one's state beside the other's COMMIT.

    Raises: Refusal (ST-08, exit 2) naming the writer if it has not gone after half a minute.
    """
    refusal = None
    with ExitStack() as held:
        if around.rank == 0:
            try:
                held.enter_context(locked(folder, name=".writer", wait_s=_PREDECESSOR_S, say=around.say))
            except Refusal as error:
                refusal = error
        raised_together(refusal, around.device)
        yield
