"""Who listens to a training run."""

from typing import Protocol


class Recorder(Protocol):
    """Keeps the curves of a run; MLflow is one such listener."""

    def metric(self, name: str, value: float, *, step: int) -> None:
        """Take one finite number."""
        ...


class NoRecorder:
    """Keeps nothing."""

    def metric(self, name: str, value: float, *, step: int) -> None:
        """Let the number go."""
