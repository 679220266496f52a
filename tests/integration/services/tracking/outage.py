"""Train for a while beside a tracking server that comes and goes; nothing may be lost, doubled or waited for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient
from servers.curves_in_mlflow import history

from femseg.services.tracking.background_recorder import BackgroundRecorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Attributes:
    longest_wait_s: of training, for one point.
    said: what the log says of it.
    """

    longest_wait_s: float
    said: list[str]


def train_through(
    uri: str, run_id: str, folder: Path, events: list[Callable[[], object]], *, steps_between: int, step_s: float
) -> Outage:
    """Record the curve `loss`, one point each `step_s`; after every `steps_between` steps the next event happens."""
    said: list[str] = []
    recorder = BackgroundRecorder(uri, run_id, folder, say=said.append, every_s=0.2)
    longest_s, step = 0.0, 0
    for event in (*events, lambda: None):
        for _ in range(steps_between):
            started = time.monotonic()
            recorder.metric("loss", value_at(step), step=step)
            longest_s = max(longest_s, time.monotonic() - started)
            step += 1
            time.sleep(step_s)
        event()
    recorder.close(120)
    return Outage(longest_wait_s=longest_s, said=said)


def value_at(step: int) -> float:
    return 1 / (step + 3)


def is_whole(client: MlflowClient, run_id: str, steps: int) -> bool:
    """Every step is there, once, as it was."""
    return history(client, run_id, "loss") == [(step, value_at(step)) for step in range(steps)]
