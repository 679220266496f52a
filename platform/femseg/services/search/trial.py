"""One search trial: how far it has come by its own checkpoints, and how a Ray worker trains it on."""

import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from ray import tune

from femseg.errors import Refusal, words_of
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_json
from femseg.paths import PARAMS
from femseg.search.halving import SearchSettings, TrialResult, usable
from femseg.services.fit.job import TrainingJob, fit_job, newest_checkpoint, node_folder, stored_run
from femseg.services.tracking.background_recorder import BackgroundRecorder
from femseg.settings import checked
from femseg.training.context import TrainerContext
from femseg.training.curves import CurveRow, rows_from_plain
from femseg.training.validation import ValidationScore

_ANEW = "SE-08"


class _Rung:
    """Asks a trial to stop, its checkpoint written, once it was validated at the rung's last iteration."""

    def __init__(self, last_iteration: int, best_so_far: float | None) -> None:
        self.last_iteration, self.reached, self.best_dice = last_iteration, 0, best_so_far

    def on_validation(self, score: ValidationScore) -> None:
        self.reached = score.iteration
        if math.isfinite(score.dice):
            self.best_dice = max(score.dice, -1.0 if self.best_dice is None else self.best_dice)

    def over(self) -> bool:
        return self.reached >= self.last_iteration


def best_dice(rows: Sequence[CurveRow], last_iteration: int) -> float | None:
    """The best validation Dice up to an iteration; None if there was no finite one."""
    found = [row.validation_dice for row in rows if row.iteration <= last_iteration]
    return max((dice for dice in found if dice is not None and math.isfinite(dice)), default=None)


def trial_rows(job: TrainingJob, say: Callable[[str], None]) -> list[CurveRow]:
    """The curve in a trial's newest good checkpoint; empty without one.

    If all its checkpoints are torn they are put aside: a trial's training is short, and the same again (SE-08).
    """
    folder = node_folder(job)
    try:
        newest = newest_checkpoint(job, say)
    except Refusal as refusal:
        aside = folder / "corrupt"
        aside.mkdir(exist_ok=True)
        for torn in folder.glob("step-*.corrupt*"):
            torn.rename(aside / f"{torn.name}-{len(list(aside.iterdir()))}")
        say(f"warning {_ANEW}: {folder.name} is trained anew: {refusal.faults[0].problem}")
        return []
    return rows_from_plain(newest.state["rows"]) if newest else []


def ended_rows(job: TrainingJob, last_iteration: int, say: Callable[[str], None]) -> list[CurveRow] | None:
    """The curve of a trial that has had a rung's iterations already; None if it is still to be trained."""
    folder = node_folder(job)
    if job.storage.url:
        stored_run(job).reconcile(folder, say)
    steps = (path.parent.name.removeprefix("step-") for path in folder.glob("step-*/COMMIT"))
    if not any(step.isdigit() and int(step) >= last_iteration for step in steps):
        return None
    rows = trial_rows(job, say)
    return rows if rows and rows[-1].iteration >= last_iteration else None


def _trained_to(job: TrainingJob, last_iteration: int, say: Callable[[str], None]) -> float | None:
    """Train a trial up to a rung's end, going on from its last checkpoint; its best validation Dice so far."""
    rows = trial_rows(job, say)
    if rows and rows[-1].iteration >= last_iteration:
        return best_dice(rows, last_iteration)
    rung = _Rung(last_iteration, best_dice(rows, last_iteration))
    recorder = BackgroundRecorder(job.tracking_uri, job.mlflow_run_id, node_folder(job), say=say)
    context = TrainerContext(
        device=torch.device("cuda" if job.train.use_gpu else "cpu"),
        recorder=recorder,
        say=say,
        on_validation=rung.on_validation,
        stop_requested=rung.over,
    )
    try:
        fit_job(job, context)
    except Refusal as refusal:
        if not (refusal.exit_code == ExitCode.RESUMABLE and rung.over()):
            raise
    finally:
        recorder.close()
    return rung.best_dice


def run_trial(config: dict[str, Any]) -> None:
    """What Ray Tune runs. A trial that breaks reports why; it never ends the search in silence."""
    torch.set_num_threads(1)
    said: list[str] = []
    try:
        job = checked(TrainingJob, config["work"]["job"], where="job", file="search trial")
        dice = _trained_to(job, config["work"]["last_iteration"], said.append)
        failure = "" if dice is not None else "no validation gave a finite Dice"
    except Exception as error:
        dice, failure = None, f"{type(error).__name__}: {words_of(error)}"
    tune.report({"validation_dice": -1.0 if dice is None else dice, "failure": failure, "said": "\n".join(said)})


# Learning rates that Optuna's TPE proposes: from the same results always the same, however often a search was killed.
#
# No study is kept: it is made anew from the trials that have ended, and its seed belongs to how many these are.
# Source: Bergstra et al. 2011; Akiba et al. 2019.


def require_optuna() -> None:
    """Raises: Refusal CFG-02 (exit 2) if Optuna, an extra of ours, is not installed."""
    if find_spec("optuna") is None:
        problem = "search.searcher is 'tpe', but Optuna is not installed"
        raise Refusal.of("CFG-02", PARAMS, problem, "pip install 'femseg[search]', or set search.searcher to halving")


def proposed_rates(settings: SearchSettings, ended: Sequence[TrialResult], count: int) -> list[float]:
    """The learning rates of an input mode's next trials, to run at once.

    Args:
        ended: all trials of this mode so far, in the order of their ids; failed ones count as failed.
    """
    import optuna  # an extra: absent until somebody chooses this searcher

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    low, high = settings.learning_rate
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "learning_rate": optuna.distributions.FloatDistribution(low, high, log=True)
    }
    mode = ended[0].trial.input_mode
    seed = int(sha256_of_json([settings.seed, mode, len(ended)])[:8], 16)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for result in ended:
        good = usable(result)
        study.add_trial(
            optuna.trial.create_trial(
                params={"learning_rate": result.trial.learning_rate},
                distributions=space,
                value=result.validation_dice if good else None,
                state=optuna.trial.TrialState.COMPLETE if good else optuna.trial.TrialState.FAIL,
            )
        )
    return [float(study.ask(space).params["learning_rate"]) for _ in range(count)]
