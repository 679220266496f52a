"""A training that is stopped while its store is out of reach, and goes on: the curve in MLflow is whole."""

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from servers.curves_in_mlflow import history
from tiny_store import write_tiny_store
from train_driver import tiny_job

from femseg.errors import Refusal
from femseg.services.fit.job import TrainingJob, fit_job
from femseg.services.fit.recorded_curve import record_curve
from femseg.services.tracking.connect import BackgroundRecorder, connect, start_run
from femseg.training.context import TrainerContext

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

ITERATIONS = 30


def trained(job: TrainingJob, uri: str, *, until: int) -> list[float | None]:
    """Train as a worker does, up to an iteration; the losses so far."""
    reached = 0

    def over() -> bool:
        nonlocal reached
        reached += 1
        return reached >= until

    recorder = BackgroundRecorder(uri, job.mlflow_run_id, Path(job.run_folder), say=lambda line: None, every_s=0.1)
    try:
        context = TrainerContext(recorder=recorder, say=lambda line: None, stop_requested=over)
        return [row.train_dice_loss for row in fit_job(job, context)[1].curve]
    finally:
        recorder.close(30)


@pytest.mark.parametrize("spool", ["kept", "lost with its node"])
def test_a_training_that_was_stopped_while_its_store_was_away_has_a_whole_curve_TK_02(tmp_path, spool):
    client, experiment_id = connect(f"sqlite:///{tmp_path / 'mlflow.db'}")
    job = tiny_job(write_tiny_store(tmp_path / "store"), tmp_path / "runs", ITERATIONS)
    job = replace(job, mlflow_run_id=start_run(client, experiment_id, name="train-raw", params={}))
    with suppress(Refusal):  # TR-06: it was stopped
        trained(job, f"sqlite:///{tmp_path / 'nowhere' / 'mlflow.db'}?mode=ro&uri=true", until=12)
    if spool != "kept":
        shutil.move(Path(job.run_folder) / "metrics.jsonl", tmp_path)
    losses = trained(job, client.tracking_uri, until=ITERATIONS + 1)
    record_curve(client, job)
    record_curve(client, job)
    assert history(client, job.mlflow_run_id, "train_dice_loss") == list(enumerate(losses, start=1))
