"""Learning rates that Optuna's TPE proposes: from the same results always the same, however often a search was killed.

No study is kept: it is made anew from the trials that have ended, and its seed belongs to how many these are.
Source: Bergstra et al. 2011; Akiba et al. 2019.
"""

from collections.abc import Sequence
from importlib.util import find_spec

from femseg.durable import sha256_of_json
from femseg.errors import ExitCode, Fault, Refusal
from femseg.training.halving import SearchSettings, TrialResult, usable


def require_optuna() -> None:
    """Raises: Refusal CFG-02 (exit 2) if Optuna, an extra of ours, is not installed."""
    if find_spec("optuna") is None:
        fault = Fault(
            id="CFG-02",
            file="params.yaml",
            problem="search.searcher is 'tpe', but Optuna is not installed",
            fix="pip install 'femseg[search]', or set search.searcher to halving",
            exit_code=ExitCode.USAGE,
        )
        raise Refusal(fault)


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
