"""Ray Tune over learning rate and input mode: trials that go together to the same iteration are one Tune experiment."""

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient
from ray import tune

from femseg.errors import Fault, Refusal
from femseg.exits import on_signal
from femseg.faults import ExitCode
from femseg.search.halving import SearchSettings, Trial, TrialResult, first_trials, numbered_trial, survivors, usable
from femseg.services.cluster.session import require_resources
from femseg.services.fit.job import TrainingJob
from femseg.services.fit.recorded_curve import record_curve
from femseg.services.search.trial import best_dice, ended_rows, proposed_rates, require_optuna, run_trial
from femseg.services.tracking.connect import MlflowRecorder, end_run
from femseg.settings import as_plain

_STARTS_AGAIN = 2  # of a trial whose process or node died
_STOPPED = Fault(
    "SE-01",
    "search",
    "was asked to stop; trials that have ended keep their results",
    "run the same command again to go on",
)


class _StopOnSignal(tune.Stopper):
    """Ends a Tune experiment in order once SIGINT or SIGTERM has come: its trials' processors are free afterwards."""

    asked = threading.Event()  # of the class: Tune takes copies

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return _StopOnSignal.asked.is_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """A search under way: what it needs, and the jobs of the trials that it has met."""

    settings: SearchSettings
    input_modes: Sequence[str]
    job_of: Callable[[Trial], TrainingJob]
    say: Callable[[str], None]
    jobs: dict[str, TrainingJob] = field(default_factory=dict)

    def trained(self, trials: Sequence[Trial], last_iteration: int) -> list[TrialResult]:
        """Results of these trials at an iteration; only those that have not come so far yet are trained."""
        for trial in trials:
            if trial.trial_id not in self.jobs:
                self.jobs[trial.trial_id] = self.job_of(trial)
        ended = {t.trial_id: ended_rows(self.jobs[t.trial_id], last_iteration, self.say) for t in trials}
        left = [trial for trial in trials if ended[trial.trial_id] is None]
        if len(left) < len(trials):
            self.say(f"search: {len(trials) - len(left)} of these {len(trials)} trials have ended before")
        outcomes = self._on_ray(left, last_iteration) if left else {}
        results = []
        for trial in trials:
            rows = ended[trial.trial_id]
            if rows is None:
                results.append(_result(trial, last_iteration, outcomes.get(trial.trial_id), self.say))
            else:
                dice = best_dice(rows, last_iteration)
                results.append(TrialResult(trial=trial, validation_dice=dice, iterations=last_iteration))
        return results

    def _on_ray(self, trials: Sequence[Trial], last_iteration: int) -> dict[str, Any]:
        """Train these trials up to an iteration, as many at once as the cluster holds; Tune's outcome by trial id."""
        work = [
            {"trial_id": trial.trial_id, "job": as_plain(self.jobs[trial.trial_id]), "last_iteration": last_iteration}
            for trial in trials
        ]
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what went wrong is said by the trials' results
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # nobody reads its files, some of which it leaves open
        with tempfile.TemporaryDirectory(prefix="femseg-tune-") as storage:
            grid = tune.Tuner(
                tune.with_resources(run_trial, {"cpu": 1, "gpu": int(self.settings.use_gpu)}),
                param_space={"work": tune.grid_search(work)},
                tune_config=tune.TuneConfig(
                    metric="validation_dice",
                    mode="max",
                    reuse_actors=True,
                    trial_dirname_creator=lambda t: t.config["work"]["trial_id"],
                ),
                run_config=tune.RunConfig(
                    name="rung",
                    storage_path=storage,
                    verbose=0,
                    stop=_StopOnSignal(),
                    failure_config=tune.FailureConfig(max_failures=_STARTS_AGAIN),
                ),
            ).fit()
        if _StopOnSignal.asked.is_set():
            raise Refusal(_STOPPED)
        return {Path(grid[i].path).name: grid[i] for i in range(len(grid))}  # its folder is all that a dead one has


def _result(trial: Trial, last_iteration: int, outcome: Any, say: Callable[[str], None]) -> TrialResult:
    """One trial's result; a trial that Tune lost (its process died, again and again) is a failed one."""
    metrics = (outcome.metrics if outcome is not None else None) or {}
    for line in metrics.get("said", "").splitlines():
        say(line)
    failure = metrics.get("failure", f"its process died {_STARTS_AGAIN + 1} times")
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

    Killed at any instant and called again, it trains no trial twice and gives the same table.

    Args:
        job_of: the training job of a trial, its MLflow run made already. Its `max_iterations` is the last rung.
    Raises: Refusal SE-01 (exit 75) if it was stopped by a signal; CL-01 (exit 5); CFG-02 (exit 2) without Optuna.
        Failed trials are results like others: `refuse_failures` judges them.
    """
    if settings.searcher == "tpe":
        require_optuna()
    require_resources(what="search", cpus=1, gpus=int(settings.use_gpu))
    search = _Search(settings=settings, input_modes=input_modes, job_of=job_of, say=say)
    try:
        _StopOnSignal.asked.clear()
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Tune's own would swallow it and return as if all were well
        with on_signal(_StopOnSignal.asked.set):
            results = _halved(search) if settings.searcher == "halving" else _proposed(search)
    except Refusal as refusal:
        if refusal.exit_code == ExitCode.RESUMABLE:
            for job in search.jobs.values():
                end_run(client, job.mlflow_run_id, "KILLED")
        raise
    for result in results:
        _close_run(client, search.jobs[result.trial.trial_id], result)
    return results


def _halved(search: _Search) -> list[TrialResult]:
    """Rung after rung, the better trials go on; every trial's latest result."""
    settings, latest = search.settings, dict[str, TrialResult]()
    trials = first_trials(settings, search.input_modes)
    for number, last_iteration in enumerate(settings.rungs, start=1):
        search.say(
            f"search, rung {number} of {len(settings.rungs)}: {len(trials)} trials to iteration {last_iteration}"
        )
        results = search.trained(trials, last_iteration)
        latest |= {result.trial.trial_id: result for result in results}
        trials = survivors(results, keep=settings.keep)
        if not trials:
            break
    return [latest[trial_id] for trial_id in sorted(latest)]


def _proposed(search: _Search) -> list[TrialResult]:
    """Wave after wave of trials that TPE proposes, each mode for itself; every trial goes to the last rung."""
    settings, results = search.settings, list[TrialResult]()
    trials = first_trials(settings, search.input_modes)
    while trials:
        begun = len(results) // len(search.input_modes)
        after = begun + len(trials) // len(search.input_modes)
        search.say(f"search, trials {begun + 1} to {after} of {settings.trials_per_mode} of each input mode")
        results += search.trained(trials, settings.rungs[-1])
        count = min(settings.wave, settings.trials_per_mode - after)
        trials = [trial for mode in search.input_modes for trial in _next_wave(settings, mode, results, count)]
    return sorted(results, key=lambda result: result.trial.trial_id)


def _next_wave(settings: SearchSettings, mode: str, results: Sequence[TrialResult], count: int) -> list[Trial]:
    mine = sorted((r for r in results if r.trial.input_mode == mode), key=lambda r: r.trial.trial_id)
    rates = proposed_rates(settings, mine, count) if count else []
    return [numbered_trial(settings, mode, len(mine) + place, rate) for place, rate in enumerate(rates)]


def _close_run(client: MlflowClient, job: TrainingJob, result: TrialResult) -> None:
    run_id = job.mlflow_run_id
    if result.failure:
        client.set_tag(run_id, "failure", result.failure)
    elif result.validation_dice is not None:
        record_curve(client, job)
        recorder = MlflowRecorder(client, run_id)
        recorder.metric("best_validation_dice", result.validation_dice, step=result.iterations)
        recorder.flush()
    end_run(client, run_id, "FINISHED" if usable(result) else "FAILED")


def refuse_failures(results: Sequence[TrialResult], settings: SearchSettings, input_modes: Sequence[str]) -> None:
    """Raises: Refusal SE-04 (exit 7) if more trials failed than `allow_failed`, or all of an input mode."""
    failed = [result for result in results if not usable(result)]
    barren = [m for m in input_modes if not any(usable(r) for r in results if r.trial.input_mode == m)]
    if len(failed) <= settings.allow_failed and not barren:
        return
    faults = [
        Fault(
            "SE-04",
            result.trial.trial_id,
            f"trial failed at learning rate {result.trial.learning_rate:g}: {result.failure or 'no Dice'}",
            "look at its run in MLflow; narrow search.learning_rate, or raise search.allow_failed",
        )
        for result in failed
    ]
    raise Refusal(faults)
