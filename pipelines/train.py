"""Stage `train`: the V-Net on one input mode, data-parallel on Ray Train; leaves the model package and its curves."""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlflow.tracking import MlflowClient

from femseg.cohorts.settings import CohortSettings
from femseg.cohorts.split import SplitSettings, read_split
from femseg.cohorts.store import ArrayStore
from femseg.comparison.repeats import BEST, RepeatSettings, read_input_modes, read_trainings, refuse_unfit
from femseg.exits import command_exit
from femseg.files.durable import sha256_of_file, sha256_of_json
from femseg.gate.rules import best_by_validation
from femseg.inference.training_range import training_range
from femseg.lineage.provenance import Lineage, commit_remark, dvc_hashes, lineage, software_versions
from femseg.networks.network import Network
from femseg.networks.package import ModelPackage, architecture_of, load_package, write_package
from femseg.networks.package_files import (
    ModelDescription,
    ScaleDescription,
    TrainingMetrics,
    UsedSettings,
    Windows,
    read_package_files,
)
from femseg.paths import COHORT, DVC_LOCK, MANIFEST, best_trials, model_of
from femseg.services.cluster.session import ray_session
from femseg.services.cluster.submit import job_tags
from femseg.services.fit.driver import train_on_ray
from femseg.services.fit.job import TrainingJob, finished_job, is_complete, locked_everywhere
from femseg.services.fit.plan import TrainingPlan, main_plan, planned_job, read_scale, refine_plan
from femseg.services.fit.recorded_curve import mlflow_run_kept, record_curve
from femseg.services.registry.start import starting_weights
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
from femseg.training.run_state import FitResult
from femseg.training.settings import TrainSettings
from femseg.volumes.network_input import InputRecipe


def refuse_unfit_repeats() -> None:
    """Before anything is trained: can what `repeats` names be repeated? Raises: Refusal (exit 2)."""
    sections = ("train", "refine.train") if read_trainings() else ("train",)
    trains = {section: read_section(TrainSettings, section) for section in sections}
    refuse_unfit(
        read_section(RepeatSettings, "repeats"),
        read_section(SplitSettings, "split"),
        seeds={f"{section}.seed": train.seed for section, train in trains.items()},
        searched=[f"{section}.learning_rate" for section, t in trains.items() if t.learning_rate == "search"],
    )


def start_of(plan: TrainingPlan) -> Path | None:
    """The file of the weights that `train.start_from` names; None where it names none."""
    settings = read_scale(plan.scale)
    if not settings.train.start_from:
        return None
    recipe = ArrayStore.open(plan.inputs).recipe
    return starting_weights(settings.train.start_from, scale=plan.scale, network=settings.network, recipe=recipe)


@contextmanager
def tracked_run(plan: TrainingPlan) -> Iterator[tuple[TrainingJob, MlflowClient]]:
    """Hold the run of a plan while the block runs, as one MLflow run that ends with a true status."""
    job = planned_job(plan, start=start_of(plan))
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
                    **(
                        {"painting": as_plain(job.painting), "painted_share": job.painted_share} if job.painting else {}
                    ),
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
    outs = {"inputs": plan.inputs, "masks": plan.masks, "split": plan.split_out}
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


def more_stores(job: TrainingJob, plan: TrainingPlan) -> list[Path]:
    """What is read besides input and masks: where patches lie, and what is painted."""
    return [path for path, used in ((plan.places, job.patches), (plan.fields, job.painting)) if used]


def to_be_trained(job: TrainingJob, plan: TrainingPlan) -> bool:
    """Whether the run is not complete yet; every node can reach its data then."""
    if is_complete(job):
        print(f"{plan.name}: already complete")
        return False
    if job.storage.url:
        stores = [plan.inputs, plan.masks, *more_stores(job, plan)]
        start = start_of(plan)
        publish(open_storage(job.storage.url), stores=stores, files=[plan.split, *([start] if start else [])])
    return True


def described(job: TrainingJob, network: Network, result: FitResult, recipe: InputRecipe) -> ScaleDescription:
    """What the package says of the trained network."""
    seen, precision = job.patches, job.optimisation.precision
    return ScaleDescription(
        architecture=architecture_of(network),
        input_mode=recipe.input_mode,
        input_recipe=recipe,
        windows=Windows(shape_zyx=seen.shape_zyx, overlap=seen.overlap, mirror=seen.mirror, precision=precision)
        if seen
        else None,
        metrics=TrainingMetrics(validation_dice=result.validation_dice, best_iteration=result.best_iteration),
        training=UsedSettings(
            train=as_plain(job.train),
            optimisation=as_plain(job.optimisation),
            painted_share=job.painted_share if job.painting else 0.0,
        ),
    )


def where_from(job: TrainingJob, plan: TrainingPlan, found_by: ModelPackage | None) -> Lineage:
    """The lineage of the trained network; of a cascade with that of the network that finds the femur."""
    read = [plan.inputs, plan.masks, *more_stores(job, plan), best_trials(plan.scale)]
    sources = [path.as_posix() for path in (COHORT, plan.split_out, *read)]
    kept = ("inputs", "masks", "places", "fields", "start", "split", "code", "network_code", "painting_code")
    hashes = {key: job.fingerprint[key] for key in kept if key in job.fingerprint}
    if job.painting:
        hashes["painting"] = sha256_of_json(job.fingerprint["painting"])
    hashes["manifest"] = sha256_of_file(MANIFEST)
    own = lineage(Path(), inputs=sources, sha256=hashes, seed=job.train.seed)
    if found_by is None:
        return own
    finer = {f"refine_{key}": value for key, value in own.sha256.items()}
    found = found_by.lineage
    return replace(own, dvc_md5={**found.dvc_md5, **own.dvc_md5}, sha256={**found.sha256, **finer})


def write_outputs(
    job: TrainingJob, plan: TrainingPlan, client: MlflowClient, *, found_by: ModelPackage | None = None
) -> None:
    """The package and the curves of a complete run, here, in the storage and in MLflow.

    Args:
        found_by: the network of the coarser scale, which goes into the package of a cascade.
    """
    network, result = finished_job(job)
    store = ArrayStore.open(plan.inputs)
    scale = described(job, network, result, store.recipe)
    if found_by is None:
        seen = training_range(store.entry(case).ct_grid for case in read_split(plan.split).train)
        if job.painting and job.painted_share == 1:  # its scans on disk are one look of many
            seen = replace(seen, spacing_mm_zyx=job.painting.scanner.spacing_mm_zyx)
        fields = {field.name: getattr(scale, field.name) for field in dataclasses.fields(scale)}
        model = ModelDescription(
            **fields,
            training_range=seen,
            cohort_source=read_section(CohortSettings, "cohort").source,
            versions=software_versions(),
        )
    else:
        model = replace(found_by.model, name=plan.cascade, refine=scale, versions=software_versions())
    package_sha256 = write_package(
        plan.model,
        found_by.network if found_by else network,
        model=model,
        lineage=where_from(job, plan, found_by),
        refine=network if found_by else None,
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


def best_found(packages: Callable[[str], Path] = model_of) -> ModelPackage:
    """The network of the coarser scale that is best by validation.

    Args:
        packages: the folder of an input mode's package.
    """
    files = {mode: read_package_files(packages(mode)) for mode in read_input_modes()}
    best = best_by_validation({mode: one.model.metrics.validation_dice for mode, one in files.items()})
    return load_package(packages(best.input_mode))


def main() -> None:
    """Write models/<mode> and results/train/<mode>, or with `--refine` those of a cascade."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.train", description=__doc__)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--input-mode", choices=["raw", "gradient", "both"])
    wanted.add_argument("--refine", choices=["raw", "gradient", "both", BEST])
    given = parser.parse_args()
    found_by = None
    refuse_unfit_repeats()
    if given.refine:
        found_by = best_found()
        plan = refine_plan(given.refine, found_by.model.input_mode if given.refine == BEST else given.refine)
    else:
        plan = main_plan(given.input_mode)
    with tracked_run(plan) as (job, client):
        if to_be_trained(job, plan):
            with ray_session():
                train_on_ray(job, title=plan.name)
        write_outputs(job, plan, client, found_by=found_by)


if __name__ == "__main__":
    with command_exit():
        main()
