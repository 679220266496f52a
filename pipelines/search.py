"""Stage `search`: Ray Tune over learning rate and input mode; sees training and validation cases only."""

import argparse
import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from femseg.cohorts.settings import Scale
from femseg.comparison.repeats import COMPARED, read_input_modes
from femseg.exits import command_exit
from femseg.files.durable import write_bytes_durably, write_json_durably
from femseg.files.lock import locked
from femseg.lineage.provenance import commit_remark
from femseg.paths import SEARCH_RUNS, SPLIT, arrays_of, project_root, searched
from femseg.reports.comparison.search_account import search_figures, search_markdown, search_record
from femseg.reports.comparison.search_evidence import read_search
from femseg.search.halving import SearchSettings, Trial, TrialResult, best_per_mode
from femseg.search.record import begin, end, search_space
from femseg.services.cluster.session import ray_session
from femseg.services.fit.job import TrainingJob, training_job
from femseg.services.fit.plan import read_scale
from femseg.services.fit.recorded_curve import mlflow_run_kept
from femseg.services.search.trial import trial_rows
from femseg.services.search.tune import refuse_failures, search_on_ray
from femseg.services.storage.arrays import publish
from femseg.services.storage.backend import StorageSettings, open_storage
from femseg.services.storage.reach import require_reach
from femseg.services.tracking.connect import (
    MlflowRecorder,
    artefacts_taken,
    connect,
    resumable_run,
    run_with_true_status,
    stage_tags,
)
from femseg.settings import as_plain, read_section
from femseg.training.curves import CurveRow
from femseg.training.settings import TrainSettings
from femseg.volumes.network_input import InputMode


def trial_job(trial: Trial, scale: Scale, runs: Path) -> TrainingJob:
    """The training job of a trial, validated at the end of every rung."""
    of_scale = read_scale(scale)
    settings = of_scale.search
    return training_job(
        inputs=arrays_of(trial.input_mode, scale=scale),
        masks=arrays_of("mask", scale=scale),
        places=arrays_of("places", scale=scale) if of_scale.patches else None,
        patches=of_scale.patches,
        fields=arrays_of("tissue", scale=scale) if of_scale.painting else None,
        painting=of_scale.painting,
        painted_share=of_scale.painted_share,
        split=SPLIT,
        runs=runs,
        name=trial.trial_id,
        network=of_scale.network,
        optimisation=of_scale.optimisation,
        train=TrainSettings(
            learning_rate=trial.learning_rate,
            max_iterations=settings.rungs[-1],
            validate_every=math.gcd(*settings.rungs),
            checkpoint_every=min(math.gcd(*settings.rungs), TrainSettings().checkpoint_every),
            keep_checkpoints=1,
            use_gpu=settings.use_gpu,
            seed=settings.seed,
        ),
        storage=read_section(StorageSettings, "storage"),
    )


def write_results(
    results: list[TrialResult],
    curves: Mapping[str, Sequence[CurveRow]],
    settings: SearchSettings,
    input_modes: Sequence[str],
    scale: Scale,
) -> None:
    """trials.csv with every trial, curves.csv with all their iterations, best.json with the best learning rate of each
    input mode and overall, search.json with what was searched.
    """
    folder = searched(scale)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial_id", "input_mode", "learning_rate", "iterations", "validation_dice", "failure"])
    for r in results:
        dice = "" if r.validation_dice is None else repr(r.validation_dice)
        t = r.trial
        writer.writerow([t.trial_id, t.input_mode, t.learning_rate, r.iterations, dice, r.failure or ""])
    write_bytes_durably(folder / "trials.csv", text.getvalue().encode())
    write_bytes_durably(folder / "curves.csv", _curves_csv(curves).encode())
    best = {
        mode: {
            "trial_id": r.trial.trial_id,
            "learning_rate": r.trial.learning_rate,
            "validation_dice": r.validation_dice,
        }
        for mode, r in best_per_mode(results).items()
    }
    overall = max(best, key=lambda mode: best[mode]["validation_dice"] or 0.0) if best else None
    write_json_durably(folder / "best.json", {"enabled": settings.enabled, "best": best, "overall": overall})
    write_json_durably(folder / "search.json", as_plain(settings) | {"input_modes": list(input_modes)})


def _curves_csv(curves: Mapping[str, Sequence[CurveRow]]) -> str:
    """One row per trial and iteration; without times, which differ from run to run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial_id", "iteration", "train_dice_loss", "validation_dice"])
    for trial_id, rows in sorted(curves.items()):
        for row in rows:
            numbers = ("" if n is None else repr(n) for n in (row.train_dice_loss, row.validation_dice))
            writer.writerow([trial_id, row.iteration, *numbers])
    return text.getvalue()


def space_of(settings: SearchSettings, input_modes: Sequence[str], scale: Scale, runs: Path) -> dict[str, Any]:
    """What decides this search's table: settings, data and code. Raises: Refusal of what cannot be trained on."""
    trials = [Trial(trial_id="", input_mode=mode, learning_rate=1e-3) for mode in input_modes]
    return search_space(
        settings, input_modes, {trial.input_mode: trial_job(trial, scale, runs).fingerprint for trial in trials}
    )


def tracked_search(settings: SearchSettings, input_modes: Sequence[str], scale: Scale, runs: Path) -> list[TrialResult]:
    """Search as one MLflow run with a nested run for each trial; write results/search, or results/refine-search."""
    space = space_of(settings, input_modes, scale, runs)
    folder = begin(runs, space, print)
    client, experiment_id = connect()
    storage = read_section(StorageSettings, "storage")
    with mlflow_run_kept(storage, folder.absolute()):
        parent = resumable_run(
            client,
            experiment_id,
            folder=folder,
            name="search" if scale == "find" else "refine-search",
            params={"search": as_plain(settings), "input_modes": list(input_modes)},
            tags=stage_tags("search"),
        )

    jobs: dict[str, TrainingJob] = {}

    def job_of(trial: Trial) -> TrainingJob:
        job = trial_job(trial, scale, folder)
        with mlflow_run_kept(job.storage, Path(job.run_folder)):
            run_id = resumable_run(
                client,
                experiment_id,
                folder=Path(job.run_folder),
                name=trial.trial_id,
                params={"input_mode": trial.input_mode, "learning_rate": trial.learning_rate},
                tags=stage_tags("search", input_mode=trial.input_mode),
                parent_run_id=parent,
            )
        jobs[trial.trial_id] = replace(job, mlflow_run_id=run_id)
        return jobs[trial.trial_id]

    with run_with_true_status(client, parent), ray_session():
        require_reach(storage, folder.absolute())
        if storage.url:
            of_scale = read_scale(scale)
            also = [kind for kind, used in (("places", of_scale.patches), ("tissue", of_scale.painting)) if used]
            kinds = (*input_modes, "mask", *also)
            stores = [arrays_of(kind, scale=scale) for kind in kinds]
            publish(open_storage(storage.url), stores=stores, files=[SPLIT])
        results = search_on_ray(settings, input_modes, job_of, client)
        curves = {trial_id: trial_rows(job, print) for trial_id, job in jobs.items()}
        write_results(results, curves, settings, input_modes, scale)
        with artefacts_taken(client, "the account of the search"):
            record_account(client, parent, folder, scale, sum(row.seconds for rows in curves.values() for row in rows))
        end(runs, space)
        refuse_failures(results, settings, input_modes)
    return results


def record_account(client: MlflowClient, run_id: str, folder: Path, scale: Scale, seconds: float) -> None:
    """The search as people can read it, in its folder and in its MLflow run: search.md, figures, tables, budget."""
    search = read_search(searched(scale))
    if search is None:
        return
    figures = search_figures(search)
    time = f"- Training steps took {seconds:.0f} s, added up over trials."
    lines = [*search_markdown(search, {figure.title: name for name, figure in figures.items()}), time, ""]
    write_bytes_durably(folder / "search.md", "\n".join(lines).encode())
    for name, figure in figures.items():
        write_bytes_durably(folder / name, figure.light)
    for name in ("search.md", *figures):
        client.log_artifact(run_id, str(folder / name))
    for name in ("trials.csv", "curves.csv"):
        client.log_artifact(run_id, str(searched(scale) / name))
    recorder = MlflowRecorder(client, run_id)
    for metric, value in (("search_iterations", search_record(search)["iterations"]), ("search_seconds", seconds)):
        recorder.metric(metric, float(value), step=0)
    recorder.flush()


def main() -> None:
    """Read `search` of params.yaml; write results/search; with `--scale refine` that of `refine`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.search", description=__doc__)
    parser.add_argument("--scale", default="find", choices=["find", "refine"])
    scale: Scale = parser.parse_args().scale
    settings = read_scale(scale).search
    modes = read_input_modes() if scale == "find" else read_section(tuple[InputMode, ...], "refine.input_modes")
    if scale == "find" and not COMPARED.issubset(modes):
        print(f"input_modes: {', '.join(modes)} can be trained, not compared: that takes raw and gradient")
    if not settings.enabled or not modes:
        write_results([], {}, settings, modes, scale)
        print(
            "search is disabled (search.enabled)" if modes else "no input mode has a finer scale (refine.input_modes)"
        )
        return
    runs = project_root() / SEARCH_RUNS / (settings.name if scale == "find" else f"refine-{settings.name}")
    if remark := commit_remark(Path()):
        print(remark)
    with locked(runs, fault_id="SE-07"):
        results = tracked_search(settings, modes, scale, runs)
    for mode, result in best_per_mode(results).items():
        print(f"{mode}: learning rate {result.trial.learning_rate:g}, validation Dice {result.validation_dice:.4f}")


if __name__ == "__main__":
    with command_exit():
        main()
