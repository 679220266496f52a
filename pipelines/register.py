"""Stage `register`: the best model by validation becomes a version of the registered model.

It becomes `challenger` if it is better by validation than the one before. An experiment of DVC registers nothing.

Idempotent: a package that is registered already is found by its hash, so a clone that pulled the artefacts but has an
empty registry runs this once more (`make register`).
"""

import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mlflow.tracking import MlflowClient

from femseg.cohorts.manifest import read_manifest
from femseg.cohorts.settings import cohort_title
from femseg.cohorts.split import read_split
from femseg.comparison.repeats import CompareSettings, read_compared_modes, read_trainings
from femseg.exits import command_exit
from femseg.files.durable import read_json, sha256_of_file, sha256_of_json, write_json_durably
from femseg.gate.rules import Candidate, best_by_validation
from femseg.gate.saved_predictions import write_predictions
from femseg.gate.test_set import read_test_set
from femseg.lineage.provenance import dvc_hashes
from femseg.lineage.records import FOLDER_RECORD, OutputRecord, hashes_of, write_record
from femseg.metrics.scorecard import headline_means, read_scores
from femseg.networks.package import ModelPackage, load_package
from femseg.paths import (
    ARRAYS,
    DVC_LOCK,
    MANIFEST,
    REGISTRATION,
    REPORTS,
    SPLIT,
    TRAINED,
    cascade_name,
    evaluation_of,
    model_of,
)
from femseg.reports.card.facts import CardFacts
from femseg.reports.card.page import card_summary, write_card
from femseg.reports.comparison.evidence import read_curve
from femseg.reports.comparison.slices import read_picture
from femseg.services.lineage.replay import EVALUATED_MD5, EVIDENCE
from femseg.services.lineage.worktree import evaluated_paths
from femseg.services.registry.challenger import propose
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.predictions import lineage_rows, log_card, log_predictions
from femseg.services.registry.versions import Registration, register_package
from femseg.services.tracking.connect import (
    MlflowRecorder,
    artefacts_taken,
    connect,
    end_run,
    find_run,
    log_dataset,
    start_run,
)
from femseg.settings import as_plain, read_section

FIGURES = REPORTS / "figures"


def training_run(client: MlflowClient, experiment_id: str, input_mode: str, package: ModelPackage) -> str:
    """The run that trained the package; in a store that never saw it, a run made from the pulled curve."""
    known = find_run(client, experiment_id, tag="package_sha256", value=package.sha256)
    if known:
        return known
    run_id = start_run(
        client,
        experiment_id,
        name=f"train-{input_mode} (from artefacts)",
        params={"input_mode": input_mode, **as_plain(package.model.training)},
        tags={"stage": "train", "input_mode": input_mode, "package_sha256": package.sha256, "rebuilt": "true"},
    )
    recorder = MlflowRecorder(client, run_id)
    for point in read_curve(TRAINED / input_mode):
        for name in ("train_dice_loss", "validation_dice"):
            if (value := getattr(point, name)) is not None:
                recorder.metric(name, value, step=point.iteration)
    recorder.flush()
    end_run(client, run_id, "FINISHED")
    return run_id


def log_evidence(client: MlflowClient, run_id: str, input_mode: str, package: ModelPackage) -> None:
    """Headline metrics, report, figures, lineage and dataset inputs on the run; what is there is not sent again."""
    evaluated = evaluation_of(input_mode)
    reported = sorted(path for path in REPORTS.rglob("*") if path.is_file())
    files = [evaluated / "summary.json", evaluated / FOLDER_RECORD, *reported]
    evidence_sha256 = sha256_of_json({path.as_posix(): sha256_of_file(path) for path in files})
    if client.get_run(run_id).data.tags.get("evidence_sha256") == evidence_sha256:
        return
    for grid, means in headline_means(read_json(evaluated / "summary.json")).items():
        for metric, mean in means.items():
            if mean is not None and math.isfinite(mean):
                client.log_metric(run_id, f"test/{grid}/{metric}", float(mean))
    for name, md5 in package.lineage.dvc_md5.items():
        log_dataset(client, run_id, name=name, source=name, digest=md5, context="lineage")
    client.log_dict(run_id, as_plain(package.lineage), "lineage.json")
    for name in ("scores.csv", "summary.json", FOLDER_RECORD):
        client.log_artifact(run_id, str(evaluated / name), EVIDENCE)
    masks_md5 = dvc_hashes(DVC_LOCK, evaluated_paths(input_mode))
    client.log_dict(run_id, masks_md5, f"{EVIDENCE}/{EVALUATED_MD5}")
    client.log_artifacts(run_id, str(REPORTS), "report")
    client.set_tag(run_id, "evidence_sha256", evidence_sha256)


def log_figures(client: MlflowClient, experiment_id: str, packages: Iterable[ModelPackage]) -> None:
    """The report's figures on the runs of the inputs that were not registered: each run shows what became of it.

    A package that no run of this store trained is passed over; figures that are there already are not sent again.
    """
    figures = {path.name: sha256_of_file(path) for path in sorted(FIGURES.iterdir())}
    for package in packages:
        run_id = find_run(client, experiment_id, tag="package_sha256", value=package.sha256)
        if run_id is None or client.get_run(run_id).data.tags.get("figures_sha256") == sha256_of_json(figures):
            continue
        client.log_artifacts(run_id, str(FIGURES), f"report/{FIGURES.name}")
        client.set_tag(run_id, "figures_sha256", sha256_of_json(figures))


def keep_predictions(client: MlflowClient, version: int, input_mode: str, package: ModelPackage) -> None:
    """Keep the test cases' masks with the version: what `femseg promote` judges."""
    with tempfile.TemporaryDirectory(prefix="femseg-register-") as scratch:
        folder = Path(scratch) / "predictions"
        evaluated, test_set = evaluation_of(input_mode), read_test_set()
        sha256 = write_predictions(folder, evaluated, package_sha256=package.sha256, test_set=test_set)
        log_predictions(client, client.get_model_version(MODEL_NAME, str(version)), folder, sha256=sha256)


def keep_card(client: MlflowClient, registration: Registration, package: ModelPackage) -> None:
    """Write the version's card and keep it with its run."""
    mode, version, run_id = package.model.folder_name, registration.version, registration.run_id
    facts = CardFacts(
        version=version,
        package_sha256=package.sha256,
        model=package.model,
        cohort=cohort_title(package.model.cohort_source, read_section(CompareSettings, "compare").cohort_name),
        cases=read_manifest(MANIFEST).cases,
        split=read_split(SPLIT),
        scores=read_scores(evaluation_of(mode) / "scores.csv"),
        lineage=lineage_rows(
            package, version=version, run_id=run_id, job=client.get_run(run_id).data.tags.get("ray_job", "")
        ),
        statistics=read_section(CompareSettings, "compare"),
    )
    shown = [
        read_picture(case_id, arrays=ARRAYS, evaluated={mode: evaluation_of(mode)})
        for case_id in facts.worst_cases()[:3]
    ]
    with tempfile.TemporaryDirectory(prefix="femseg-card-") as scratch:
        folder = Path(scratch)
        record = OutputRecord(
            kind="card",
            files=hashes_of(folder, write_card(facts, folder, shown)),
            models={mode: package.sha256},
            sources={
                "manifest": sha256_of_file(MANIFEST),
                "split": facts.split.sha256,
                f"evaluation of {mode}": sha256_of_file(evaluation_of(mode) / FOLDER_RECORD),
            },
        )
        write_record(folder / FOLDER_RECORD, record)
        log_card(client, version=version, run_id=run_id, folder=folder, description=card_summary(facts))


def registered(client: MlflowClient, candidate: Candidate, run_id: str, package: ModelPackage) -> str:
    """Make the candidate a version, with its predictions and its card; returns in words what became of it."""
    registration = register_package(
        client,
        model_of(candidate.input_mode),
        run_id=run_id,
        tags={"input_mode": candidate.input_mode, "reason": candidate.reason},
        input_channels=package.network.input_channels,
    )
    keep_predictions(client, registration.version, candidate.input_mode, package)
    keep_card(client, registration, package)
    state = "was there already" if registration.already_there else "registered"
    version = f"models:/{MODEL_NAME}/{registration.version} ({state}): {candidate.reason}"
    return f"{version}\n{propose(client, registration.version)}"


def main() -> None:
    """Read models/ or cascades/, and reports/; write results/registration.json and the registry, of an experiment none.

    Where there are cascades one of them is registered: they draw at the finer scale.
    """
    names = [cascade_name(training) for training in read_trainings()] or read_compared_modes()
    packages = {name: load_package(model_of(name)) for name in names}
    dice = {name: package.model.finest.metrics.validation_dice for name, package in packages.items()}
    candidate = best_by_validation(dice)
    package = packages[candidate.input_mode]
    client, experiment_id = connect()
    run_id = training_run(client, experiment_id, candidate.input_mode, package)
    with artefacts_taken(client, "model and evidence"):
        log_evidence(client, run_id, candidate.input_mode, package)
        log_figures(client, experiment_id, (other for mode, other in packages.items() if mode != candidate.input_mode))
        if experiment := os.environ.get("DVC_EXP_NAME"):
            to_keep = f"`dvc exp apply {experiment}`, then `make register`, makes it a version"
            words = f"experiment {experiment} registers nothing: {candidate.reason}; {to_keep}"
        else:
            words = registered(client, candidate, run_id, package)
    record = {
        "model": MODEL_NAME,
        "input_mode": candidate.input_mode,
        "reason": candidate.reason,
        "validation_dice": candidate.validation_dice,
        "package_sha256": package.sha256,
    }
    write_json_durably(REGISTRATION, record)
    print(words)


if __name__ == "__main__":
    with command_exit():
        main()
