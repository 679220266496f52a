"""Which MLflow run belongs to a run folder."""

from pathlib import Path

from mlflow.tracking import MlflowClient

from femseg.services.tracking.runs import KEY_FILE, KEY_TAG


def run_id_of(client: MlflowClient, folder: Path) -> str:
    """The one run that carries the folder's key."""
    (key,) = (path.name.removeprefix(KEY_FILE) for path in folder.glob(f"{KEY_FILE}*"))
    return run_id_with(client, key)


def run_id_with(client: MlflowClient, key: str) -> str:
    """The one run that carries a key."""
    experiments = [one.experiment_id for one in client.search_experiments()]
    (run,) = client.search_runs(experiments, f"tags.`{KEY_TAG}` = '{key}'")
    return run.info.run_id
