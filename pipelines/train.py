"""Stage `train`: the V-Net on one input mode, data-parallel on Ray Train; leaves the model package and its curves."""

import argparse
from dataclasses import replace
from pathlib import Path

from femseg.cohorts.manifest import Manifest, read_manifest
from femseg.cohorts.split import read_split
from femseg.cohorts.store import ArrayStore
from femseg.door import door
from femseg.durable import read_json, sha256_of_file
from femseg.errors import ExitCode, Fault, Refusal
from femseg.inference.verdict import training_range
from femseg.networks.package import write_package
from femseg.networks.vnet import VNetSettings
from femseg.promotion.lineage import dvc_hashes, lineage, software_versions
from femseg.services.clusters import ray_session
from femseg.services.jobs import job_tags
from femseg.services.recorded_curve import record_curve
from femseg.services.storage import StorageSettings, open_storage
from femseg.services.storage_data import publish
from femseg.services.storage_packages import upload_package
from femseg.services.tracking import (
    MlflowRecorder,
    connect,
    log_dataset,
    resumable_run,
    run_with_true_status,
    stage_tags,
)
from femseg.services.training import train_on_ray
from femseg.services.training_job import (
    TrainingJob,
    claimed_everywhere,
    fit_job,
    is_complete,
    mlflow_run_kept,
    training_job,
)
from femseg.settings import as_plain, read_section
from femseg.training.curves import write_timing_curve, write_training_curve, write_validation_curve
from femseg.training.run_identity import nearest_other_run
from femseg.training.session import FitResult
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.surroundings import Surroundings

MASKS, SPLIT, MANIFEST = Path("data/arrays/mask"), Path("data/split.json"), Path("data/cohort/manifest.json")
BEST = Path("results/search/best.json")


def learning_rate(settings: TrainSettings, input_mode: str) -> float:
    """The number in params.yaml, or what the search found best for this input mode. Raises: Refusal (exit 2)."""
    if settings.learning_rate != "search":
        return float(settings.learning_rate)
    found = read_json(BEST).get("best", {}).get(input_mode)
    if found is None:
        fault = Fault(
            id="CFG-02",
            file="params.yaml",
            problem=f"train.learning_rate is 'search', but the search holds no result for input mode '{input_mode}'",
            fix="set search.enabled to true, or give train.learning_rate a number",
            exit_code=ExitCode.USAGE,
        )
        raise Refusal(fault)
    return float(found["learning_rate"])


def refuse_one_sided(manifest: Manifest) -> None:
    """A left femur mirrored is a right one: where one side is the foreground, mirroring would teach a wrong label."""
    sides = sorted({case.femur for case in manifest.cases} - {"all"})
    if sides:
        fault = Fault(
            id="CFG-02",
            file="params.yaml",
            problem=f"augmentation.mirror_left_right is on, but the cohort's foreground is the {sides[0]} femur alone",
            fix="set it to false, or cohort.femur to all",
            exit_code=ExitCode.USAGE,
        )
        raise Refusal(fault)


def described_job(input_mode: str, inputs: Path) -> TrainingJob:
    """The job that params.yaml, the arrays, the split and the search describe."""
    train = read_section(TrainSettings, "train")
    optimisation = read_section(OptimisationSettings, "optimisation")
    augmentation = optimisation.augmentation
    if augmentation.enabled and augmentation.mirror_left_right:
        refuse_one_sided(read_manifest(MANIFEST))
    return training_job(
        inputs=inputs,
        masks=MASKS,
        split=SPLIT,
        runs=Path("runs/train"),
        name=input_mode,
        network=read_section(VNetSettings, "network"),
        optimisation=optimisation,
        train=replace(train, learning_rate=learning_rate(train, input_mode)),
        storage=read_section(StorageSettings, "storage"),
    )


def write_outputs(job: TrainingJob, input_mode: str, inputs: Path, model: Path, curves: Path) -> tuple[FitResult, str]:
    """The package and the curves of a complete run; returns its result and the package's SHA-256."""
    network, result = fit_job(job, Surroundings(say=lambda line: None))
    store = ArrayStore.open(inputs)
    settings = {"train": as_plain(job.train), "optimisation": as_plain(job.optimisation)}
    sources = ["data/cohort", inputs.as_posix(), MASKS.as_posix(), SPLIT.as_posix(), BEST.as_posix()]
    hashes = {key: job.fingerprint[key] for key in ("inputs", "masks", "split", "code")}
    package_sha256 = write_package(
        model,
        network,
        model={
            "input_mode": input_mode,
            "input_recipe": as_plain(store.recipe),
            "metrics": {"validation_dice": result.validation_dice, "best_iteration": result.best_iteration},
            "training": settings,
            "training_range": training_range(store.entry(case).ct_grid for case in read_split(SPLIT).train),
            "versions": software_versions(),
        },
        lineage=lineage(
            Path(), inputs=sources, sha256={**hashes, "manifest": sha256_of_file(MANIFEST)}, seed=job.train.seed
        ),
    )
    write_training_curve(curves / "training.csv", result.curve)
    write_validation_curve(curves / "validation.csv", result.curve)
    write_timing_curve(Path(job.run_folder) / "timing.csv", result.curve)
    return result, package_sha256


def tracked_training(job: TrainingJob, input_mode: str, inputs: Path) -> FitResult:
    """Train, or find it done, as one MLflow run that ends with a true status; write the outputs."""
    client, experiment_id = connect(job.tracking_uri)
    with mlflow_run_kept(job.storage, Path(job.run_folder)):
        run_id = resumable_run(
            client,
            experiment_id,
            folder=Path(job.run_folder),
            name=f"train-{input_mode}",
            params={
                "input_mode": input_mode,
                "train": as_plain(job.train),
                "network": as_plain(job.network),
                "optimisation": as_plain(job.optimisation),
            },
            tags=stage_tags("train", input_mode=input_mode, **job_tags()),
        )
    job = replace(job, mlflow_run_id=run_id)
    with run_with_true_status(client, run_id):
        sources = {"inputs": inputs.as_posix(), "masks": MASKS.as_posix(), "split": SPLIT.as_posix()}
        locked = dvc_hashes(Path("dvc.lock"), list(sources.values()))
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
            print(f"train {input_mode}: already complete")
        else:
            if job.storage.url:
                publish(open_storage(job.storage.url), stores=[inputs, MASKS], files=[SPLIT])
            with ray_session():
                train_on_ray(job, title=f"train {input_mode}")
        model, curves = Path("models") / input_mode, Path("results/train") / input_mode
        result, package_sha256 = write_outputs(job, input_mode, inputs, model, curves)
        if job.storage.url:
            print(f"train {input_mode}: {upload_package(open_storage(job.storage.url), model)}")
        record_curve(client, job)
        client.set_tag(run_id, "package_sha256", package_sha256)
        recorder = MlflowRecorder(client, run_id)
        recorder.metric("best_validation_dice", result.validation_dice, step=result.best_iteration)
        recorder.flush()
    return result


def main() -> None:
    """Read `train`, `network` and `optimisation`; write models/<mode> and results/train/<mode>."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.train", description=__doc__)
    parser.add_argument("--input-mode", required=True, choices=["raw", "gradient", "both"])
    input_mode: str = parser.parse_args().input_mode
    inputs = Path("data/arrays") / input_mode
    job = described_job(input_mode, inputs)
    with claimed_everywhere(job):
        if remark := nearest_other_run(Path(job.run_folder), job.fingerprint):
            print(f"train {input_mode}: {remark}")
        result = tracked_training(job, input_mode, inputs)
    print(f"{input_mode}: validation Dice {result.validation_dice:.4f} after iteration {result.best_iteration}")


if __name__ == "__main__":
    with door():
        main()
