"""A version's saved predictions: sent with it when it is registered, brought back when it is judged."""

from contextlib import suppress
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import ExitCode, Fault, Refusal
from femseg.promotion.saved_predictions import INDEX, SavedPredictions, read_predictions
from femseg.services.registry import MODEL_NAME, brought_here

TAG = "predictions_sha256"


def _place(sha256: str) -> str:
    """Below the run's artefacts; predictions of another test set come beside, and those judged before stay."""
    return f"predictions/{sha256[:16]}"


def log_predictions(client: MlflowClient, version: ModelVersion, folder: Path, *, sha256: str) -> None:
    """Send predictions to the run of a version and name them in its tag; what is there is not sent again."""
    run_id = str(version.run_id)
    there = {Path(file.path).name for file in client.list_artifacts(run_id, _place(sha256))}
    if INDEX not in there:
        files = [path for path in sorted(folder.iterdir()) if path.name != INDEX]
        for path in (*files, folder / INDEX):  # the index last: with it, all is there
            client.log_artifact(run_id, str(path), _place(sha256))
    client.set_model_version_tag(MODEL_NAME, version.version, TAG, sha256)


def predictions_of(version: ModelVersion, into: Path, *, sha256: str = "") -> SavedPredictions:
    """Bring a version's predictions here and prove them.

    Args:
        into: an empty folder.
        sha256: which; by default those that the version's tag names.
    Raises: Refusal RG-03 (exit 8) if there are none, or they are not those that were registered.
    """
    wanted = sha256 or version.tags.get(TAG, "")
    with suppress(MlflowException, OSError):
        if wanted:
            folder = brought_here(f"runs:/{version.run_id}/{_place(wanted)}", into=into)
            return read_predictions(folder, sha256=wanted)
    raise Refusal(
        Fault(
            id="RG-03",
            file=f"models:/{MODEL_NAME}/{version.version}",
            problem="has no saved predictions",
            fix="run `dvc repro evaluate` and `make register` again",
            exit_code=ExitCode.GATE_REFUSED,
        )
    )
