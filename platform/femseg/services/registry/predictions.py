"""A version's saved predictions: sent with it when it is registered, brought back when it is judged."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Refusal
from femseg.files.durable import sha256_of_file, write_bytes_durably
from femseg.gate.saved_predictions import INDEX, SavedPredictions, read_predictions
from femseg.lineage.materials import shortened
from femseg.lineage.records import FOLDER_RECORD, read_record
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import brought_here, registered_version

if TYPE_CHECKING:
    from femseg.networks.package import ModelPackage

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


def predictions_of(client: MlflowClient, version: ModelVersion, into: Path, *, sha256: str = "") -> SavedPredictions:
    """Bring a version's predictions here and prove them.

    Args:
        into: an empty folder.
        sha256: which; by default those that the version's tag names.
    Raises: Refusal RG-03 (exit 8) if there are none, or they are not those that were registered.
    """
    wanted = sha256 or version.tags.get(TAG, "")
    with suppress(MlflowException, OSError):
        if wanted:
            folder = brought_here(client, f"runs:/{version.run_id}/{_place(wanted)}", into=into)
            return read_predictions(folder, sha256=wanted)
    fix = "run `dvc repro evaluate` and `make register` again"
    raise Refusal.of("RG-03", f"models:/{MODEL_NAME}/{version.version}", "has no saved predictions", fix)


CARD_TAG = "card_sha256"  # of the card's record, which has the hash of every other file


def _card_place(sha256: str) -> str:
    """Below the run's artefacts: a card that is written anew comes beside the earlier one."""
    return f"card/{sha256[:16]}"


def lineage_rows(package: "ModelPackage", *, version: int, run_id: str, job: str) -> dict[str, str]:
    """What stands behind a version, as label and value."""
    known = package.lineage
    commit = str(known.git.commit) + (" (files differed from it)" if known.git.modified else "")
    return {
        "registered version": f"models:/{MODEL_NAME}/{version}",
        "model package SHA-256": package.sha256,
        "MLflow run": run_id,
        "Ray job": job or "none: the stage ran by itself",
        "git commit": commit,
        **{f"DVC {path}": md5 for path, md5 in known.dvc_md5.items()},
        **{f"{what} SHA-256": sha256 for what, sha256 in known.sha256.items()},
        "seed": str(known.seed),
    }


def log_card(client: MlflowClient, *, version: int, run_id: str, folder: Path, description: str) -> None:
    """Keep a card with a version's run and name it in the version's tag; what is there already is not sent again."""
    sha256 = sha256_of_file(folder / FOLDER_RECORD)
    if client.get_model_version(MODEL_NAME, str(version)).tags.get(CARD_TAG) == sha256:
        return
    client.log_artifacts(run_id, str(folder), _card_place(sha256))
    client.update_model_version(MODEL_NAME, str(version), description=description)
    client.set_model_version_tag(MODEL_NAME, str(version), CARD_TAG, sha256)


def bring_card(client: MlflowClient, uri: str, folder: Path) -> list[Path]:
    """Write a version's card into a folder, after every hash holds; returns its files.

    Raises: Refusal RG-12 (exit 2) if there is no such version or card, RG-07 (exit 4) if the card was altered.
    """
    version = registered_version(client, uri)
    expected = version.tags.get(CARD_TAG, "")
    if not expected:
        raise _refusal(uri, "has no model card", "RG-12")
    try:
        found = brought_here(client, f"runs:/{version.run_id}/{_card_place(expected)}")
    except (MlflowException, OSError) as error:
        raise _refusal(uri, f"its card cannot be had ({type(error).__name__})", "RG-12") from error
    return _copied(found, expected, folder, uri)


def _copied(stored: Path, expected: str, folder: Path, uri: str) -> list[Path]:
    content = {FOLDER_RECORD: (stored / FOLDER_RECORD).read_bytes()}
    found = sha256_of_file(stored / FOLDER_RECORD)
    if found != expected:
        raise _refusal(uri, f"its card is {shortened(found)}, registered was {shortened(expected)}", "RG-07")
    for name, sha256 in read_record(stored / FOLDER_RECORD).files.items():
        file = stored / name
        if not file.is_file() or sha256_of_file(file) != sha256:
            raise _refusal(uri, f"{name} of its card is missing or was altered", "RG-07")
        content[name] = file.read_bytes()
    for name, written in content.items():
        write_bytes_durably(folder / name, written)
    return [folder / name for name in content]


def _refusal(uri: str, problem: str, fault_id: str) -> Refusal:
    return Refusal.of(fault_id, uri, problem, "`make register` writes the card of what lies in models/")
