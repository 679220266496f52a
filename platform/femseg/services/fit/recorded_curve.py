"""A training's MLflow run, whoever trains and wherever: found again by its run folder, with the whole curve."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

from mlflow.tracking import MlflowClient

from femseg.services.fit.job import TrainingJob, name_in_storage, newest_checkpoint, node_folder
from femseg.services.storage.backend import StorageSettings, no_answer, open_storage
from femseg.services.storage.checkpoints import StoredRun
from femseg.services.tracking.metric_spool import SPOOL, PointSpool
from femseg.services.tracking.recorder import MlflowRecorder
from femseg.services.tracking.runs import KEY_FILE
from femseg.training.curves import rows_from_plain


@contextmanager
def mlflow_run_kept(settings: StorageSettings, run_folder: Path) -> Iterator[None]:
    """Let a driver on another node find the MLflow run of a run folder that the block makes or takes up.

    Raises: Refusal ST-09 (exit 6) if the storage does not answer.
    """
    if not settings.url:
        yield
        return
    storage = open_storage(settings.url)
    run = StoredRun(storage, name_in_storage(run_folder))
    try:
        run.share_names(run_folder, KEY_FILE)
        yield
        run.share_names(run_folder, KEY_FILE)
    except OSError as error:
        raise no_answer(storage, error) from error


def record_curve(client: MlflowClient, job: TrainingJob) -> None:
    """Send every point of the run's newest checkpoint that its MLflow run does not hold yet.

    These are the points that waited in the spool while the store was away, and those that were trained on another node.
    """
    newest = newest_checkpoint(job)
    with closing(PointSpool(node_folder(job) / SPOOL)) as spool:
        recorder = MlflowRecorder(client, job.mlflow_run_id, spool)
        for row in rows_from_plain(newest.state["rows"]) if newest else ():
            for name, value in asdict(row).items():
                if name != "iteration" and value is not None:
                    recorder.metric(name, value, step=row.iteration)
        recorder.flush()
