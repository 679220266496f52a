"""Curves into MLflow: each step of a curve once, however often it is sent."""

import math

from mlflow.entities import Metric, RunTag
from mlflow.tracking import MlflowClient

from femseg.services.tracking.metric_spool import Point, PointSpool

_POINTS_A_REQUEST = 1000  # MLflow takes no more
_EVENTS_A_TAG = 100


class MlflowRecorder:
    """A `Recorder` that sends what it was given when `flush` is called.

    Each step reaches the store once. Steps that the store held before this recorder began are not sent again. A request
    that failed, perhaps after the store had taken it, is sent again as it was: the points carry their time, and to
    MLflow a point of the same name, step, time and value is the same row.
    """

    def __init__(self, client: MlflowClient, run_id: str, spool: PointSpool | None = None) -> None:
        self._client, self.run_id = client, run_id
        self._spool = PointSpool() if spool is None else spool
        self._held: dict[str, set[int]] = {}
        self._events: dict[str, list[str]] = {}

    def metric(self, name: str, value: float, *, step: int) -> None:
        """Take one point; a value that is not finite becomes a tag that says so, never a number (TK-07)."""
        self._spool.add(name, value, step=step)

    def flush(self) -> None:
        """Send what waits. Raises: what MLflow's client raises if the store does not take it; nothing is then lost."""
        while batch := self._spool.waiting(_POINTS_A_REQUEST):
            self._spool.sync()
            self._send(batch)
            self._spool.sent(len(batch))

    def _send(self, batch: list[Point]) -> None:
        finite = [point for point in batch if math.isfinite(point.value)]
        metrics = [
            Metric(point.name, point.value, point.time_ms, point.step)
            for point in finite
            if point.step not in self._held_steps(point.name)
        ]
        tags = self._not_finite([point for point in batch if not math.isfinite(point.value)])
        if metrics or tags:
            self._client.log_batch(self.run_id, metrics=metrics, tags=tags)

    def _held_steps(self, name: str) -> set[int]:
        """The steps of a curve that the store held when it was first asked."""
        if name not in self._held:
            self._held[name] = {point.step for point in self._client.get_metric_history(self.run_id, name)}
        return self._held[name]

    def _not_finite(self, points: list[Point]) -> list[RunTag]:
        for point in points:
            said = self._events.setdefault(point.name, [])
            event = f"{point.value} at step {point.step}"
            if event not in said and len(said) < _EVENTS_A_TAG:
                said.append(event)
        return [RunTag(f"not_finite.{name}", "; ".join(self._events[name])) for name in {p.name for p in points}]
