"""Stage `search`: Ray Tune over learning rate and input mode; sees training and validation cases only."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from femseg.comparison.repeats import read_input_modes
from femseg.exits import command_exit
from femseg.files.durable import write_bytes_durably, write_json_durably
from femseg.files.lock import locked
from femseg.lineage.provenance import commit_remark
from femseg.networks.choice import read_network
from femseg.paths import BEST_TRIALS, MASKS, SEARCH_RUNS, SEARCHED, SPLIT, arrays_of, project_root
from femseg.reports.comparison.search_account import search_figures, search_markdown, search_record
from femseg.reports.comparison.search_evidence import read_search
from femseg.search.halving import SearchSettings, Trial, TrialResult, best_per_mode
from femseg.search.record import begin, end, search_space
from femseg.services.cluster.session import ray_session
from femseg.services.fit.job import TrainingJob, mlflow_run_kept, training_job
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
from femseg.training.settings import OptimisationSettings, TrainSettings


def trial_job(trial: Trial, settings: SearchSettings, runs: Path) -> TrainingJob:
    """The training job of a trial, validated at the end of every rung."""
    return training_job(
        inputs=arrays_of(trial.input_mode),
        masks=MASKS,
        split=SPLIT,
        runs=runs,
        name=trial.trial_id,
        network=read_network(),
        optimisation=read_section(OptimisationSettings, "optimisation"),
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
) -> None:
    """trials.csv with every trial, curves.csv with all their iterations, best.json with the best learning rate of each
    input mode and overall, search.json with what was searched.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial_id", "input_mode", "learning_rate", "iterations", "validation_dice", "failure"])
    for r in results:
        dice = "" if r.validation_dice is None else repr(r.validation_dice)
        t = r.trial
        writer.writerow([t.trial_id, t.input_mode, t.learning_rate, r.iterations, dice, r.failure or ""])
    write_bytes_durably(SEARCHED / "trials.csv", text.getvalue().encode())
    write_bytes_durably(SEARCHED / "curves.csv", _curves_csv(curves).encode())
    best = {
        mode: {
            "trial_id": r.trial.trial_id,
            "learning_rate": r.trial.learning_rate,
            "validation_dice": r.validation_dice,
        }
        for mode, r in best_per_mode(results).items()
    }
    overall = max(best, key=lambda mode: best[mode]["validation_dice"] or 0.0) if best else None
    write_json_durably(BEST_TRIALS, {"enabled": settings.enabled, "best": best, "overall": overall})
    write_json_durably(SEARCHED / "search.json", as_plain(settings) | {"input_modes": list(input_modes)})


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


def space_of(settings: SearchSettings, input_modes: Sequence[str], runs: Path) -> dict[str, Any]:
    """What decides this search's table: settings, data and code. Raises: Refusal of what cannot be trained on."""
    trials = [Trial(trial_id="", input_mode=mode, learning_rate=1e-3) for mode in input_modes]
    return search_space(
        settings, input_modes, {trial.input_mode: trial_job(trial, settings, runs).fingerprint for trial in trials}
    )


def tracked_search(settings: SearchSettings, input_modes: Sequence[str], runs: Path) -> list[TrialResult]:
    """Search as one MLflow run with a nested run for each trial; write results/search."""
    space = space_of(settings, input_modes, runs)
    folder = begin(runs, space, print)
    client, experiment_id = connect()
    storage = read_section(StorageSettings, "storage")
    with mlflow_run_kept(storage, folder.absolute()):
        parent = resumable_run(
            client,
            experiment_id,
            folder=folder,
            name="search",
            params={"search": as_plain(settings), "input_modes": list(input_modes)},
            tags=stage_tags("search"),
        )

    jobs: dict[str, TrainingJob] = {}

    def job_of(trial: Trial) -> TrainingJob:
        job = trial_job(trial, settings, folder)
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
            publish(open_storage(storage.url), stores=[*map(arrays_of, input_modes), MASKS], files=[SPLIT])
        results = search_on_ray(settings, input_modes, job_of, client)
        curves = {trial_id: trial_rows(job, print) for trial_id, job in jobs.items()}
        write_results(results, curves, settings, input_modes)
        with artefacts_taken(client, "the account of the search"):
            record_account(client, parent, folder, sum(row.seconds for rows in curves.values() for row in rows))
        end(runs, space)
        refuse_failures(results, settings, input_modes)
    return results


def record_account(client: MlflowClient, run_id: str, folder: Path, seconds: float) -> None:
    """The search as people can read it, in its folder and in its MLflow run: search.md, figures, tables, budget."""
    search = read_search(SEARCHED)
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
        client.log_artifact(run_id, str(SEARCHED / name))
    recorder = MlflowRecorder(client, run_id)
    for metric, value in (("search_iterations", search_record(search)["iterations"]), ("search_seconds", seconds)):
        recorder.metric(metric, float(value), step=0)
    recorder.flush()


def main() -> None:
    """Read `search` of params.yaml; write results/search."""
    settings = read_section(SearchSettings, "search")
    input_modes = read_input_modes()
    if not settings.enabled:
        write_results([], {}, settings, input_modes)
        print("search is disabled (search.enabled)")
        return
    runs = project_root() / SEARCH_RUNS / settings.name
    if remark := commit_remark(Path()):
        print(remark)
    with locked(runs, fault_id="SE-07"):
        results = tracked_search(settings, input_modes, runs)
    for mode, result in best_per_mode(results).items():
        print(f"{mode}: learning rate {result.trial.learning_rate:g}, validation Dice {result.validation_dice:.4f}")


if __name__ == "__main__":
    with command_exit():
        main()
