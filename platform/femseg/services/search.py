"""Ray Tune over learning rate and input mode: each rung of the halving is one Tune experiment."""

import logging
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mlflow.tracking import MlflowClient
from ray import tune

from femseg.errors import ExitCode, Fault, Refusal
from femseg.services.clusters import require_resources
from femseg.services.storage_on_ray import require_reach
from femseg.services.tracking import MlflowRecorder, connect, end_run
from femseg.services.training_job import TrainingJob, fit_job, newest_checkpoint, record_curve
from femseg.settings import as_plain, checked
from femseg.training.halving import SearchSettings, Trial, TrialResult, first_trials, survivors, usable
from femseg.training.surroundings import Surroundings
from femseg.training.validation import ValidationScore

_STOPPED = Fault(
    id="SE-01",
    file="search",
    problem="was asked to stop; trials that have ended keep their results",
    fix="run the same command again to go on",
    exit_code=ExitCode.RESUMABLE,
)


class _Rung:
    """Asks a trial to stop, its checkpoint written, once it was validated at the rung's last iteration."""

    def __init__(self, last_iteration: int) -> None:
        self.last_iteration = last_iteration
        self.reached, self.best_dice = 0, -1.0

    def on_validation(self, score: ValidationScore) -> None:
        self.reached = score.iteration
        self.best_dice = max(self.best_dice, score.dice) if math.isfinite(score.dice) else self.best_dice

    def over(self) -> bool:
        return self.reached >= self.last_iteration


def _trained_to(job: TrainingJob, last_iteration: int) -> float:
    """Train a trial up to a rung's end, going on from its last checkpoint; returns its best validation Dice so far."""
    rung = _Rung(last_iteration)
    before = newest_checkpoint(job)
    if before is not None:
        rung.best_dice = float(before.state["best_dice"])
        if before.iteration >= last_iteration:
            return rung.best_dice  # a search that was killed after this trial's rung
    recorder = MlflowRecorder(connect(job.tracking_uri)[0], job.mlflow_run_id)
    surroundings = Surroundings(
        device=torch.device("cuda" if job.train.use_gpu else "cpu"),
        recorder=recorder,
        say=lambda line: None,
        on_validation=rung.on_validation,
        stop_requested=rung.over,
    )
    try:
        return fit_job(job, surroundings)[1].validation_dice
    except Refusal as refusal:
        if refusal.exit_code == ExitCode.RESUMABLE and rung.over():
            return rung.best_dice
        raise
    finally:
        recorder.offer()


def _trial(config: dict[str, Any]) -> None:
    """What Ray Tune runs. A trial that breaks reports why; it never ends the search in silence."""
    torch.set_num_threads(1)
    try:
        job = checked(TrainingJob, config["work"]["job"], where="job", file="search trial")
        tune.report({"validation_dice": _trained_to(job, config["work"]["last_iteration"]), "failure": ""})
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        tune.report({"validation_dice": -1.0, "failure": f"{type(error).__name__}: {words}"})


def _run_rung(jobs: Mapping[str, TrainingJob], trials: Sequence[Trial], last_iteration: int) -> list[TrialResult]:
    """Train these trials up to an iteration, as many at once as the cluster holds."""
    work = [
        {"trial_id": trial.trial_id, "job": as_plain(jobs[trial.trial_id]), "last_iteration": last_iteration}
        for trial in trials
    ]
    gpus = 1 if any(jobs[trial.trial_id].train.use_gpu for trial in trials) else 0
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="femseg-tune-") as storage:
        grid = tune.Tuner(
            tune.with_resources(_trial, {"cpu": 1, "gpu": gpus}),
            param_space={"work": tune.grid_search(work)},
            tune_config=tune.TuneConfig(
                metric="validation_dice", mode="max", reuse_actors=True, trial_dirname_creator=lambda t: t.trial_id
            ),
            run_config=tune.RunConfig(name="rung", storage_path=storage, verbose=0),
        ).fit()
        outcomes = {(grid[i].config or {})["work"]["trial_id"]: grid[i] for i in range(len(grid))}
    return [_result(trial, last_iteration, outcomes.get(trial.trial_id)) for trial in trials]


def _result(trial: Trial, last_iteration: int, outcome: Any) -> TrialResult:
    """One trial's result; a trial that Tune lost (its process died) is a failed one."""
    metrics = (outcome.metrics if outcome is not None else None) or {}
    failure = metrics.get("failure", "its process died")
    dice = None if failure else float(metrics["validation_dice"])
    return TrialResult(trial=trial, validation_dice=dice, iterations=last_iteration, failure=failure or None)


def search_on_ray(
    settings: SearchSettings,
    input_modes: Sequence[str],
    job_of: Callable[[Trial], TrainingJob],
    client: MlflowClient,
    *,
    say: Callable[[str], None] = print,
) -> list[TrialResult]:
    """Run the whole search on the Ray session at hand; every trial's latest result, in the order of trial ids.

    Args:
        job_of: the training job of a trial, its MLflow run made already. Its `max_iterations` is the last rung.
    Raises: Refusal SE-01 (exit 75) if it was stopped by a signal; CL-01 (exit 5); CL-04 (exit 2). Failed trials are
        results like others: `refuse_failures` judges them.
    """
    trials = first_trials(settings, input_modes)
    jobs = {trial.trial_id: job_of(trial) for trial in trials}
    require_resources(what="search", cpus=1, gpus=max(int(job.train.use_gpu) for job in jobs.values()))
    any_job = next(iter(jobs.values()))
    require_reach(any_job.storage, Path(any_job.run_folder))
    try:
        results = _halved(jobs, trials, settings, say)
    except (KeyboardInterrupt, SystemExit):
        for job in jobs.values():
            end_run(client, job.mlflow_run_id, "KILLED")
        raise Refusal(_STOPPED) from None
    for result in results:
        _close_run(client, jobs[result.trial.trial_id], result)
    return results


def _halved(
    jobs: Mapping[str, TrainingJob], trials: Sequence[Trial], settings: SearchSettings, say: Callable[[str], None]
) -> list[TrialResult]:
    """Rung after rung, the better trials go on; every trial's latest result."""
    latest: dict[str, TrialResult] = {}
    for number, last_iteration in enumerate(settings.rungs, start=1):
        say(f"search, rung {number} of {len(settings.rungs)}: {len(trials)} trials to iteration {last_iteration}")
        results = _run_rung(jobs, trials, last_iteration)
        latest |= {result.trial.trial_id: result for result in results}
        trials = survivors(results, keep=settings.keep)
        if not trials:
            break
    return [latest[trial_id] for trial_id in sorted(latest)]


def _close_run(client: MlflowClient, job: TrainingJob, result: TrialResult) -> None:
    run_id = job.mlflow_run_id
    if result.failure:
        client.set_tag(run_id, "failure", result.failure)
    elif result.validation_dice is not None:
        record_curve(client, job)
        MlflowRecorder(client, run_id, batch=1).metric(
            "best_validation_dice", result.validation_dice, step=result.iterations
        )
    end_run(client, run_id, "FINISHED" if usable(result) else "FAILED")


def refuse_failures(results: Sequence[TrialResult], settings: SearchSettings, input_modes: Sequence[str]) -> None:
    """Raises: Refusal SE-04 (exit 7) if more trials failed than `allow_failed`, or all of an input mode."""
    failed = [result for result in results if not usable(result)]
    barren = [m for m in input_modes if not any(usable(r) for r in results if r.trial.input_mode == m)]
    if len(failed) <= settings.allow_failed and not barren:
        return
    faults = [
        Fault(
            id="SE-04",
            file=result.trial.trial_id,
            problem=f"trial failed at learning rate {result.trial.learning_rate:g}: {result.failure or 'no Dice'}",
            fix="look at its run in MLflow; narrow search.learning_rate, or raise search.allow_failed",
            exit_code=ExitCode.TRAINING_FAILED,
        )
        for result in failed
    ]
    raise Refusal(faults)
