"""What the store holds of a curve."""

from mlflow.tracking import MlflowClient


def history(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, float]]:
    """Step and value of every point, in the order of steps; a point that is there twice is twice in the list."""
    return sorted((point.step, point.value) for point in client.get_metric_history(run_id, name))
