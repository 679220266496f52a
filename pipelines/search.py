"""Stage `search`: Ray Tune over learning rate and input mode; sees training and validation cases only."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from femseg.comparison.input_modes import read_input_modes
from femseg.door import door
from femseg.durable import sha256_of_json, write_bytes_durably, write_json_durably
from femseg.networks.vnet import VNetSettings
from femseg.services.clusters import ray_session
from femseg.services.run_folder import claimed
from femseg.services.search import refuse_failures, search_on_ray
from femseg.services.storage import StorageSettings, open_storage
from femseg.services.storage_data import publish
from femseg.services.tracking import connect, resumable_run, run_with_true_status, stage_tags
from femseg.services.training_job import TrainingJob, mlflow_run_kept, training_job
from femseg.settings import as_plain, read_section
from femseg.training.halving import SearchSettings, Trial, TrialResult, best_per_mode
from femseg.training.settings import OptimisationSettings, TrainSettings

ARRAYS, MASKS, SPLIT = Path("data/arrays"), Path("data/arrays/mask"), Path("data/split.json")
RESULTS = Path("results/search")


def trial_job(trial: Trial, settings: SearchSettings, runs: Path) -> TrainingJob:
    """The training job of a trial, validated at the end of every rung."""
    return training_job(
        inputs=ARRAYS / trial.input_mode,
        masks=MASKS,
        split=SPLIT,
        runs=runs,
        name=trial.trial_id,
        network=read_section(VNetSettings, "network"),
        optimisation=read_section(OptimisationSettings, "optimisation"),
        train=TrainSettings(
            learning_rate=trial.learning_rate,
            max_iterations=settings.rungs[-1],
            validate_every=math.gcd(*settings.rungs),
            checkpoint_every=settings.rungs[-1],
            keep_checkpoints=1,
            use_gpu=settings.use_gpu,
            seed=settings.seed,
        ),
        storage=read_section(StorageSettings, "storage"),
    )


def write_results(results: list[TrialResult], settings: SearchSettings) -> None:
    """trials.csv with every trial, and best.json with the best learning rate of each input mode and overall."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial_id", "input_mode", "learning_rate", "iterations", "validation_dice", "failure"])
    for r in results:
        dice = "" if r.validation_dice is None else repr(r.validation_dice)
        t = r.trial
        writer.writerow([t.trial_id, t.input_mode, t.learning_rate, r.iterations, dice, r.failure or ""])
    write_bytes_durably(RESULTS / "trials.csv", text.getvalue().encode())
    best = {
        mode: {
            "trial_id": r.trial.trial_id,
            "learning_rate": r.trial.learning_rate,
            "validation_dice": r.validation_dice,
        }
        for mode, r in best_per_mode(results).items()
    }
    overall = max(best, key=lambda mode: best[mode]["validation_dice"] or 0.0) if best else None
    write_json_durably(RESULTS / "best.json", {"enabled": settings.enabled, "best": best, "overall": overall})


def search_folder(settings: SearchSettings, input_modes: Sequence[str]) -> Path:
    """Where this search keeps its trials; other settings, data or code get another folder."""
    runs = Path("runs/search")
    any_trial = trial_job(Trial(trial_id="", input_mode=input_modes[0], learning_rate=1e-3), settings, runs)
    return runs / f"search-{sha256_of_json([as_plain(settings), as_plain(any_trial)])[:12]}"


def tracked_search(settings: SearchSettings, input_modes: Sequence[str], folder: Path) -> list[TrialResult]:
    """Search as one MLflow run with a nested run for each trial; write results/search."""
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
        return replace(job, mlflow_run_id=run_id)

    with run_with_true_status(client, parent), ray_session():
        if storage.url:
            publish(open_storage(storage.url), stores=[*(ARRAYS / mode for mode in input_modes), MASKS], files=[SPLIT])
        results = search_on_ray(settings, input_modes, job_of, client)
        write_results(results, settings)
        client.log_artifact(parent, str(RESULTS / "trials.csv"))
        refuse_failures(results, settings, input_modes)
    return results


def main() -> None:
    """Read `search` of params.yaml; write results/search."""
    settings = read_section(SearchSettings, "search")
    input_modes = read_input_modes()
    if not settings.enabled:
        write_results([], settings)
        print("search is disabled (search.enabled)")
        return
    folder = search_folder(settings, input_modes)
    with claimed(folder, fault_id="SE-07"):
        results = tracked_search(settings, input_modes, folder)
    for mode, result in best_per_mode(results).items():
        print(f"{mode}: learning rate {result.trial.learning_rate:g}, validation Dice {result.validation_dice:.4f}")


if __name__ == "__main__":
    with door():
        main()
