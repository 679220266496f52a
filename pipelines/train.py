"""Stage `train`: the V-Net on one input mode, data-parallel on Ray Train; leaves the model package and its curves."""

import argparse
from dataclasses import replace
from pathlib import Path

from femseg.cohorts.split import SplitSettings, read_split
from femseg.cohorts.store import ArrayStore
from femseg.comparison.repeats import RepeatSettings, refuse_unfit
from femseg.exits import command_exit
from femseg.files.durable import sha256_of_file
from femseg.inference.verdict import training_range
from femseg.lineage.provenance import dvc_hashes, lineage, software_versions
from femseg.networks.package import architecture_of, write_package
from femseg.networks.package_files import ModelDescription, TrainingMetrics, UsedSettings
from femseg.paths import BEST_TRIALS, COHORT, DVC_LOCK, MANIFEST, MASKS
from femseg.services.cluster.session import ray_session
from femseg.services.cluster.submit import job_tags
from femseg.services.fit.driver import train_on_ray
from femseg.services.fit.job import (
    Training,
    TrainingJob,
    claimed_everywhere,
    described_job,
    fit_job,
    is_complete,
    main_training,
    mlflow_run_kept,
)
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
from femseg.training.surroundings import Surroundings
from femseg.training.trainer import FitResult


def refuse_unfit_repeats() -> None:
    """Before anything is trained: can what `repeats` names be repeated? Raises: Refusal (exit 2)."""
    train = read_section(TrainSettings, "train")
    refuse_unfit(
        read_section(RepeatSettings, "repeats"),
        read_section(SplitSettings, "split"),
        seed=train.seed,
        searched=train.learning_rate == "search",
    )


def write_outputs(job: TrainingJob, training: Training) -> tuple[FitResult, str]:
    """The package and the curves of a complete run; returns its result and the package's SHA-256."""
    network, result = fit_job(job, Surroundings(say=lambda line: None))
    store = ArrayStore.open(training.inputs)
    sources = [path.as_posix() for path in (COHORT, training.inputs, MASKS, training.split_out, BEST_TRIALS)]
    kept = ("inputs", "masks", "split", "code", "network_code")
    hashes = {key: job.fingerprint[key] for key in kept if key in job.fingerprint}
    package_sha256 = write_package(
        training.model,
        network,
        model=ModelDescription(
            architecture=architecture_of(network),
            input_mode=store.recipe.input_mode,
            input_recipe=store.recipe,
            metrics=TrainingMetrics(validation_dice=result.validation_dice, best_iteration=result.best_iteration),
            training=UsedSettings(train=as_plain(job.train), optimisation=as_plain(job.optimisation)),
            training_range=training_range(store.entry(case).ct_grid for case in read_split(training.split).train),
            versions=software_versions(),
        ),
        lineage=lineage(
            Path(), inputs=sources, sha256={**hashes, "manifest": sha256_of_file(MANIFEST)}, seed=job.train.seed
        ),
    )
    write_training_curve(training.curves / "training.csv", result.curve)
    write_validation_curve(training.curves / "validation.csv", result.curve)
    write_timing_curve(Path(job.run_folder) / "timing.csv", result.curve)
    return result, package_sha256


def tracked_training(job: TrainingJob, training: Training) -> FitResult:
    """Train, or find it done, as one MLflow run that ends with a true status; write the outputs."""
    client, experiment_id = connect(job.tracking_uri)
    input_mode, inputs, split = training.input_mode, training.inputs, training.split
    with mlflow_run_kept(job.storage, Path(job.run_folder)):
        run_id = resumable_run(
            client,
            experiment_id,
            folder=Path(job.run_folder),
            name=training.name.replace(" ", "-"),
            params={
                "input_mode": input_mode,
                "train": as_plain(job.train),
                "network": as_plain(job.network),
                "optimisation": as_plain(job.optimisation),
            },
            tags=stage_tags("train", input_mode=input_mode, **training.tags, **job_tags()),
            parent_run_id=training.parent_run_id,
        )
    job = replace(job, mlflow_run_id=run_id)
    with run_with_true_status(client, run_id):
        outs = {"inputs": inputs, "masks": MASKS, "split": training.split_out}
        sources = {name: out.as_posix() for name, out in outs.items()}
        locked = dvc_hashes(DVC_LOCK, list(sources.values()))
        for name, source in sources.items():
            log_dataset(
                client,
                run_id,
                name=name,
                source=source,
                digest=job.fingerprint[name],
                context="training",
                dvc_md5=locked.get(source, ""),
            )
        if is_complete(job):
            print(f"{training.name}: already complete")
        else:
            if job.storage.url:
                publish(open_storage(job.storage.url), stores=[inputs, MASKS], files=[split])
            with ray_session():
                train_on_ray(job, title=training.name)
        result, package_sha256 = write_outputs(job, training)
        if job.storage.url:
            print(f"{training.name}: {upload_package(open_storage(job.storage.url), training.model)}")
        record_curve(client, job)
        if run_id != training.parent_run_id:  # the repeat that is the registered model's own training leaves its tags
            client.set_tag(run_id, "package_sha256", package_sha256)
        recorder = MlflowRecorder(client, run_id)
        recorder.metric("best_validation_dice", result.validation_dice, step=result.best_iteration)
        recorder.flush()
    return result


def carried_out(training: Training) -> FitResult:
    """Train, or go on where a run of the same settings, data and code was left, and write the outputs."""
    job = described_job(training)
    with claimed_everywhere(job):
        if remark := nearest_other_run(Path(job.run_folder), job.fingerprint):
            print(f"{training.name}: {remark}")
        result = tracked_training(job, training)
    print(f"{training.name}: validation Dice {result.validation_dice:.4f} after iteration {result.best_iteration}")
    return result


def main() -> None:
    """Read `train`, `network` and `optimisation`; write models/<mode> and results/train/<mode>."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.train", description=__doc__)
    parser.add_argument("--input-mode", required=True, choices=["raw", "gradient", "both"])
    input_mode: str = parser.parse_args().input_mode
    refuse_unfit_repeats()
    carried_out(main_training(input_mode))


if __name__ == "__main__":
    with command_exit():
        main()
