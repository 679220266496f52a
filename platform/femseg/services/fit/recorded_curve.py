"""The whole curve of a training in MLflow, whoever trained it and wherever."""

from contextlib import closing
from dataclasses import asdict

from mlflow.tracking import MlflowClient

from femseg.services.fit.job import TrainingJob, newest_checkpoint, node_folder
from femseg.services.tracking.metric_spool import SPOOL, PointSpool
from femseg.services.tracking.recorder import MlflowRecorder
from femseg.training.curves import rows_from_plain


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
