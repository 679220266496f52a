"""MLflow for stages and workers: connect here, and take from here what a run needs."""

from mlflow.tracking import MlflowClient

from femseg.services.tracking.address import redacted, tracking_uri
from femseg.services.tracking.background_recorder import BackgroundRecorder
from femseg.services.tracking.heartbeat import close_dead_runs
from femseg.services.tracking.recorder import MlflowRecorder
from femseg.services.tracking.runs import (
    end_run,
    find_run,
    flat,
    log_dataset,
    resumable_run,
    run_with_true_status,
    stage_tags,
    start_run,
)
from femseg.services.tracking.store import STORE_ERRORS, artefacts_taken, experiment_named, no_answer, open_store

__all__ = [
    "BackgroundRecorder",
    "MlflowRecorder",
    "artefacts_taken",
    "connect",
    "end_run",
    "find_run",
    "flat",
    "log_dataset",
    "redacted",
    "resumable_run",
    "run_with_true_status",
    "stage_tags",
    "start_run",
    "tracking_uri",
]

EXPERIMENT = "femseg"


def connect(uri: str | None = None, *, to_read: bool = False) -> tuple[MlflowClient, str]:
    """A client of the tracking store and the id of femseg's experiment, made if need be.

    Runs that died without a word are closed first, whoever comes (TK-06).

    Args:
        uri: of the store; `tracking_uri()` by default.
        to_read: nothing that must last is written, so that a store which may not be written will do.
    Raises: Refusal TK-01 (exit 6) if the store does not answer, TK-09 (9) if a password would travel in the clear,
        TK-10 (2) if another MLflow made its schema.
    """
    client = open_store(uri or tracking_uri(), to_read=to_read)
    try:
        experiment_id = experiment_named(client, EXPERIMENT)
        close_dead_runs(client, experiment_id)
    except STORE_ERRORS as error:
        raise no_answer(client.tracking_uri, error) from error
    return client, experiment_id
