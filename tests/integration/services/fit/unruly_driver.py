"""`train_driver.py` with one rank that does not behave, after some steps: what a bug, or a file server, may do to it.

python unruly_driver.py <raises | ends | sleeps> <what train_driver.py takes>
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray.train
import train_driver

from femseg.exits import command_exit
from femseg.services.fit import driver as rank
from femseg.services.fit import driver as training
from femseg.training import trainer as session

AFTER_STEPS = 30


def last_rank(plain: dict[str, Any], misbehave: Callable[[], None]) -> None:
    """What Ray runs on every rank: on the last one, batches come to an end some steps on."""
    context, batches = ray.train.get_context(), session.training_batches

    def some(*args: Any, **words: Any) -> Iterator[Any]:
        yield from itertools.islice(batches(*args, **words), AFTER_STEPS)
        (Path(plain["job"]["run_folder"]) / "misbehaved").write_text(str(time.time()))
        misbehave()

    folder = Path(plain["job"]["run_folder"])
    if context.get_world_rank() == context.get_world_size() - 1 and not (folder / "misbehaved").exists():
        session.training_batches = some
    rank.run_rank(plain)


def give_up() -> None:
    raise RuntimeError("gives up")


def raises(plain: dict[str, Any]) -> None:
    last_rank(plain, give_up)


def ends(plain: dict[str, Any]) -> None:
    last_rank(plain, lambda: None)


def sleeps(plain: dict[str, Any]) -> None:
    last_rank(plain, lambda: time.sleep(3600))


if __name__ == "__main__":
    import unruly_driver  # by name, as the workers know it

    what = sys.argv.pop(1)
    training.run_rank = getattr(unruly_driver, what)
    if what != "sleeps":
        training.RETRIES = 0
    with command_exit():
        train_driver.main()
