"""Stage `train`: the V-Net on one input mode, data-parallel on Ray Train; leaves the model package and its curves."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlflow.tracking import MlflowClient

from femseg.cohorts.settings import CohortSettings
from femseg.cohorts.split import SplitSettings, read_split
from femseg.cohorts.store import ArrayStore
from femseg.comparison.repeats import RepeatSettings, refuse_unfit
from femseg.exits import command_exit
from femseg.files.durable import sha256_of_file
from femseg.inference.verdict import training_range
from femseg.lineage.provenance import commit_remark, dvc_hashes, lineage, software_versions
from femseg.networks.package import architecture_of, write_package
from femseg.networks.package_files import ModelDescription, TrainingMetrics, UsedSettings
from femseg.paths import BEST_TRIALS, COHORT, DVC_LOCK, MANIFEST, MASKS
from femseg.services.cluster.session import ray_session
from femseg.services.cluster.submit import job_tags
from femseg.services.fit.driver import train_on_ray
from femseg.services.fit.job import TrainingJob, finished_job, is_complete, locked_everywhere, mlflow_run_kept
from femseg.services.fit.plan import TrainingPlan, main_plan, planned_job
from femseg.services.fit.recorded_curve import record_curve
from femseg.services.storage.arrays import publish
from femseg.services.storage.backend import open_storage
from femseg.services.storage.packages import upload_package
from femseg.services.tracking.connect import (
    MlflowRecorder,
    connect,
    log_dataset,
    resumable_run,
    run_with_true_status,
    stage_tags,
)
from femseg.settings import as_plain, read_section
from femseg.training.curves import write_timing_curve, write_training_curve, write_validation_curve
from femseg.training.run_identity import nearest_other_run
from femseg.training.settings import TrainSettings


def refuse_unfit_repeats() -> None:
    """Before anything is trained: can what `repeats` names be repeated? Raises: Refusal (exit 2)."""
    train = read_section(TrainSettings, "train")
    refuse_unfit(
        read_section(RepeatSettings, "repeats"),
        read_section(SplitSettings, "split"),
        seed=train.seed,
        searched=train.learning_rate == "search",
    )


@contextmanager
def tracked_run(plan: TrainingPlan) -> Iterator[tuple[TrainingJob, MlflowClient]]:
    """Hold the run of a plan while the block runs, as one MLflow run that ends with a true status."""
    job = planned_job(plan)
    with locked_everywhere(job):
        if remark := nearest_other_run(Path(job.run_folder), job.fingerprint):
            print(f"{plan.name}: {remark}")
        if remark := commit_remark(Path()):
            print(f"{plan.name}: {remark}")
        client, experiment_id = connect(job.tracking_uri)
        with mlflow_run_kept(job.storage, Path(job.run_folder)):
            run_id = resumable_run(
                client,
                experiment_id,
                folder=Path(job.run_folder),
                name=plan.name.replace(" ", "-"),
                params={
                    "input_mode": plan.input_mode,
                    "train": as_plain(job.train),
                    "network": as_plain(job.network),
                    "optimisation": as_plain(job.optimisation),
                },
                tags=stage_tags("train", input_mode=plan.input_mode, **plan.tags, **job_tags()),
                parent_run_id=plan.parent_run_id,
            )
        job = replace(job, mlflow_run_id=run_id)
        with run_with_true_status(client, run_id):
            log_inputs(client, job, plan)
            yield job, client


def log_inputs(client: MlflowClient, job: TrainingJob, plan: TrainingPlan) -> None:
    """Name the run's data in MLflow, by their hashes here and in dvc.lock."""
    outs = {"inputs": plan.inputs, "masks": MASKS, "split": plan.split_out}
    sources = {name: out.as_posix() for name, out in outs.items()}
    md5s = dvc_hashes(DVC_LOCK, list(sources.values()))
    for name, source in sources.items():
        log_dataset(
            client,
            job.mlflow_run_id,
            name=name,
            source=source,
            digest=job.fingerprint[name],
            context="training",
            dvc_md5=md5s.get(source, ""),
        )


def to_be_trained(job: TrainingJob, plan: TrainingPlan) -> bool:
    """Whether the run is not complete yet; every node can reach its data then."""
    if is_complete(job):
        print(f"{plan.name}: already complete")
        return False
    if job.storage.url:
        publish(open_storage(job.storage.url), stores=[plan.inputs, MASKS], files=[plan.split])
    return True


def write_outputs(job: TrainingJob, plan: TrainingPlan, client: MlflowClient) -> None:
    """The package and the curves of a complete run, here, in the storage and in MLflow."""
    network, result = finished_job(job)
    store = ArrayStore.open(plan.inputs)
    sources = [path.as_posix() for path in (COHORT, plan.inputs, MASKS, plan.split_out, BEST_TRIALS)]
    kept = ("inputs", "masks", "split", "code", "network_code")
    hashes = {key: job.fingerprint[key] for key in kept if key in job.fingerprint}
    package_sha256 = write_package(
        plan.model,
        network,
        model=ModelDescription(
            architecture=architecture_of(network),
            input_mode=store.recipe.input_mode,
            input_recipe=store.recipe,
            metrics=TrainingMetrics(validation_dice=result.validation_dice, best_iteration=result.best_iteration),
            training=UsedSettings(train=as_plain(job.train), optimisation=as_plain(job.optimisation)),
            cohort_source=read_section(CohortSettings, "cohort").source,
            training_range=training_range(store.entry(case).ct_grid for case in read_split(plan.split).train),
            versions=software_versions(),
        ),
        lineage=lineage(
            Path(), inputs=sources, sha256={**hashes, "manifest": sha256_of_file(MANIFEST)}, seed=job.train.seed
        ),
    )
    write_training_curve(plan.curves / "training.csv", result.curve)
    write_validation_curve(plan.curves / "validation.csv", result.curve)
    write_timing_curve(Path(job.run_folder) / "timing.csv", result.curve)
    if job.storage.url:
        print(f"{plan.name}: {upload_package(open_storage(job.storage.url), plan.model)}")
    record_curve(client, job)
    if job.mlflow_run_id != plan.parent_run_id:  # the repeat that is the registered model's own training has its tags
        client.set_tag(job.mlflow_run_id, "package_sha256", package_sha256)
    recorder = MlflowRecorder(client, job.mlflow_run_id)
    recorder.metric("best_validation_dice", result.validation_dice, step=result.best_iteration)
    recorder.flush()
    print(f"{plan.name}: validation Dice {result.validation_dice:.4f} after iteration {result.best_iteration}")


def main() -> None:
    """Read `train`, `network` and `optimisation`; write models/<mode> and results/train/<mode>."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.train", description=__doc__)
    parser.add_argument("--input-mode", required=True, choices=["raw", "gradient", "both"])
    plan = main_plan(parser.parse_args().input_mode)
    refuse_unfit_repeats()
    with tracked_run(plan) as (job, client):
        if to_be_trained(job, plan):
            with ray_session():
                train_on_ray(job, title=plan.name)
        write_outputs(job, plan, client)


if __name__ == "__main__":
    with command_exit():
        main()
