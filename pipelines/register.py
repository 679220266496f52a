"""Stage `register`: the best model by validation becomes a version of the registered model, alias `challenger`.

Idempotent: a package that is registered already is found by its hash, so a clone that pulled the artefacts but has an
empty registry runs this once more (`make register`).
"""

from pathlib import Path

from mlflow.tracking import MlflowClient

from femseg.comparison.input_modes import read_input_modes
from femseg.door import door
from femseg.durable import read_json, sha256_of_file, sha256_of_json, write_json_durably
from femseg.networks.package import ModelPackage, load_package
from femseg.promotion.candidate import best_by_validation
from femseg.reports.evidence import read_curve
from femseg.services.registry import CHALLENGER, MODEL_NAME, register_package
from femseg.services.tracking import (
    MlflowRecorder,
    artefacts_taken,
    connect,
    end_run,
    find_run,
    log_dataset,
    start_run,
)

MODELS, TRAINED, EVALUATED, REPORTS = (
    Path("models"),
    Path("results/train"),
    Path("results/evaluate"),
    Path("reports"),
)


def training_run(client: MlflowClient, experiment_id: str, input_mode: str, package: ModelPackage) -> str:
    """The run that trained the package; in a store that never saw it, a run made from the pulled curve."""
    known = find_run(client, experiment_id, tag="package_sha256", value=package.sha256)
    if known:
        return known
    run_id = start_run(
        client,
        experiment_id,
        name=f"train-{input_mode} (from artefacts)",
        params={"input_mode": input_mode, **package.model["training"]},
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
    """Test metrics, report, figures, lineage and dataset inputs on the run; what is there already is not sent again."""
    files = [EVALUATED / input_mode / "summary.json", *sorted(p for p in REPORTS.rglob("*") if p.is_file())]
    evidence_sha256 = sha256_of_json({path.as_posix(): sha256_of_file(path) for path in files})
    if client.get_run(run_id).data.tags.get("evidence_sha256") == evidence_sha256:
        return
    for grid, metrics in read_json(EVALUATED / input_mode / "summary.json").items():
        for metric, values in metrics.items():
            for statistic, value in values.items():
                if isinstance(value, int | float):
                    client.log_metric(run_id, f"test.{grid}.{metric}.{statistic}", float(value))
    for name, md5 in package.lineage["dvc_md5"].items():
        log_dataset(client, run_id, name=name, source=name, digest=md5, context="lineage")
    client.log_dict(run_id, package.lineage, "lineage.json")
    client.log_artifact(run_id, str(EVALUATED / input_mode / "scores.csv"), "evaluation")
    client.log_artifacts(run_id, str(REPORTS), "report")
    client.set_tag(run_id, "evidence_sha256", evidence_sha256)


def main() -> None:
    """Read models/ and reports/; write results/registration.json and the registry."""
    modes = read_input_modes()
    packages = {mode: load_package(MODELS / mode) for mode in modes}
    dice = {mode: float(package.model["metrics"]["validation_dice"]) for mode, package in packages.items()}
    candidate = best_by_validation(dice)
    package = packages[candidate.input_mode]
    client, experiment_id = connect()
    run_id = training_run(client, experiment_id, candidate.input_mode, package)
    with artefacts_taken(client, "model and evidence"):
        log_evidence(client, run_id, candidate.input_mode, package)
        registration = register_package(
            client,
            MODELS / candidate.input_mode,
            run_id=run_id,
            tags={"input_mode": candidate.input_mode, "reason": candidate.reason},
            input_channels=package.network.input_channels,
        )
    record = {
        "model": MODEL_NAME,
        "alias": CHALLENGER,
        "input_mode": candidate.input_mode,
        "reason": candidate.reason,
        "validation_dice": candidate.validation_dice,
        "package_sha256": package.sha256,
    }
    write_json_durably(Path("results/registration.json"), record)
    state = "was there already" if registration.already_there else "registered"
    print(f"models:/{MODEL_NAME}@{CHALLENGER} is version {registration.version} ({state}): {candidate.reason}")


if __name__ == "__main__":
    with door():
        main()
