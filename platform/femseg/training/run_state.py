"""What changes while a run goes on, how it is saved, and how it comes back after an interruption."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from femseg.errors import Fault, Refusal
from femseg.networks.network import Network
from femseg.training.agreement import raised_together, summed_over_ranks
from femseg.training.checkpoint import (
    discard_old_checkpoints,
    newest_good_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from femseg.training.curves import CurveRow, rows_as_plain, rows_from_plain
from femseg.training.run_identity import refuse_other_run
from femseg.training.settings import TrainSettings
from femseg.training.surroundings import Surroundings

_PLAIN_STATE = ("refused_in_a_row", "finished", "best_dice", "best_iteration", "best_weights")


@dataclass(slots=True, kw_only=True)
class Run:
    """What a run has reached; with weights and optimiser, all that its checkpoints hold."""

    iteration: int = 0
    refused_in_a_row: int = 0
    finished: bool = False
    best_dice: float = -1.0
    best_iteration: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    rows: list[CurveRow] = field(default_factory=list)


def resumed_run(
    network: Network, optimizer: Optimizer, folder: Path, fingerprint: dict[str, Any], around: Surroundings
) -> Run:
    """The run as its newest good checkpoint has it, also in network and optimiser; rank 0 says which that is."""
    checkpoint, refusal = None, None
    if around.rank == 0:
        try:
            checkpoint = newest_good_checkpoint(folder, around.say)
            if checkpoint:
                refuse_other_run(checkpoint, fingerprint, folder)
        except Refusal as error:
            refusal = error
    raised_together(refusal, around.device)
    iteration = int(summed_over_ranks([checkpoint.iteration if checkpoint else 0], around.device)[0])
    if not iteration:
        return Run()
    checkpoint = checkpoint or read_checkpoint(folder, iteration)
    state = checkpoint.state
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    if around.rank == 0:
        before, now = state["workers"], around.world_size
        changed = f" with {now} workers instead of {before}" if before != now else ""
        around.say(f"going on after iteration {iteration}{changed}")
    return Run(iteration=iteration, **{name: state[name] for name in _PLAIN_STATE}, rows=rows_from_plain(state["rows"]))


def commit(
    run: Run,
    network: Network,
    optimizer: Optimizer,
    folder: Path,
    fingerprint: dict[str, Any],
    settings: TrainSettings,
    around: Surroundings,
) -> None:
    """Write a checkpoint on rank 0; every rank learns whether that went well."""
    refusal = None
    if around.rank == 0:
        state = {
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "rows": rows_as_plain(run.rows),
            "workers": around.world_size,
            **{name: getattr(run, name) for name in _PLAIN_STATE},
        }
        try:
            write_checkpoint(folder, run.iteration, state, fingerprint)
            discard_old_checkpoints(
                folder, newest=settings.keep_checkpoints, also_keep={run.best_iteration}, say=around.say
            )
            around.on_checkpoint(run.iteration, run.best_iteration)
        except Refusal as error:
            refusal = _disk_full(error, folder, run.iteration, around.say)
    raised_together(refusal, around.device)


def _disk_full(error: Refusal, folder: Path, iteration: int, say: Callable[[str], None]) -> Refusal:
    """TR-05, once the checkpoint before the failed one is proved."""
    good = newest_good_checkpoint(folder, say)
    kept = f"the checkpoint of iteration {good.iteration} is intact" if good else "no checkpoint was written yet"
    return Refusal(
        Fault(
            id="TR-05",
            file=error.faults[0].file,
            problem=f"the checkpoint of iteration {iteration} {error.faults[0].problem}; {kept}",
            fix="free space, then run the same command again to go on",
        )
    )
