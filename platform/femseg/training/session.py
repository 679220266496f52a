"""The whole training run of one worker: batches, steps, validation, checkpoints, the best weights."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from femseg.errors import ExitCode, Fault, Refusal
from femseg.networks.vnet import VNet
from femseg.training.agreement import any_rank, copy_buffers_of_rank_0, raised_together, summed_over_ranks
from femseg.training.batches import TrainingCases, share_of_rank, training_batches
from femseg.training.checkpoint import (
    checkpoint_folder,
    discard_old_checkpoints,
    newest_good_checkpoint,
    read_checkpoint,
    refuse_other_run,
    write_checkpoint,
)
from femseg.training.curves import CurveJournal, CurveRow, rows_as_plain, rows_from_plain
from femseg.training.loop import StepReport, build_optimizer, learning_rate_at, train_steps
from femseg.training.recorder import NoRecorder, Recorder
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.validation import ValidationScore, validation_score

_PLAIN_STATE = ("refused_in_a_row", "finished", "best_dice", "best_iteration", "best_weights")
_VALIDATED = ("validation_dice", "validation_soft_dice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a worker runs and who watches; nothing here changes the result.

    Attributes:
        rank, world_size: of this worker.
        device: of the network.
        recorder: keeps the curves; called on rank 0 only.
        progress: called on rank 0 with iterations done and a note.
        say: takes a line for the log, such as a checkpoint that was set aside.
        wrap: prepares the network for data-parallel training; the wrapped network shares its weights.
        on_validation: called on every rank after each validation; "stop" ends the run early, on all ranks.
        stop_requested: asked on every rank at each iteration; True commits a checkpoint and leaves with exit code 75.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    recorder: Recorder = field(default_factory=NoRecorder)
    progress: Callable[[int, str], None] = lambda done, note: None
    say: Callable[[str], None] = print
    wrap: Callable[[nn.Module], nn.Module] = lambda network: network
    on_validation: Callable[[ValidationScore], str | None] = lambda score: None
    stop_requested: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What a run leaves; the network then holds the best weights, in float32 on its device.

    Attributes:
        validation_dice: best mean Dice over the validation cases, on the network grid.
        best_iteration: after which it was reached; the earliest of equals.
        iterations: that the run made.
        curve: one row per iteration.
        already_complete: nothing was trained, a finished run was found.
    """

    validation_dice: float
    best_iteration: int
    iterations: int
    curve: list[CurveRow]
    already_complete: bool


@dataclass(slots=True, kw_only=True)
class _Run:
    """What changes while a run goes on, and all that its checkpoints hold."""

    iteration: int = 0
    refused_in_a_row: int = 0
    finished: bool = False
    best_dice: float = -1.0
    best_iteration: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    rows: list[CurveRow] = field(default_factory=list)


def fit(
    network: VNet,
    cases_train: TrainingCases,
    cases_validation: TrainingCases,
    settings: TrainSettings,
    optimisation: OptimisationSettings,
    *,
    folder: Path,
    fingerprint: dict[str, Any],
    surroundings: Surroundings | None = None,
) -> FitResult:
    """Train from the newest good checkpoint in `folder`, or from the start, to the end; every rank calls it.

    A run that is killed at any instant and started again ends with the same bits, on a CPU, as one that was not.

    Args:
        network: with its initial weights, the same on every rank.
        settings: with a number as learning rate.
        folder: the run's own, seen by all ranks; holds `step-*/` and `curve.jsonl`.
        fingerprint: what makes this run itself: settings, data hashes, code; JSON values.
    Raises: ValueError on settings that do not fit; Refusal: TR-03 (exit 4) no good checkpoint, TR-05 (75) disk full,
        TR-06 (75) stopped on request, TR-09 (7) not finite, TR-11 (2) the folder holds another run, TR-13 (5) out of
        GPU memory.
    """
    around = surroundings or Surroundings()
    if isinstance(settings.learning_rate, str):
        raise ValueError("learning_rate: expected a number, got 'search'; take it from the search's result first")
    rate, last = settings.learning_rate, settings.max_iterations
    positions = share_of_rank(
        optimisation.batch_size,
        rank=around.rank,
        world_size=around.world_size,
        micro_batches=optimisation.gradient_accumulation,
    )
    _prepare(network, optimisation, around.device)
    optimizer = build_optimizer(network, optimisation)
    run = _resumed(network, optimizer, folder, fingerprint, around)
    already_complete = run.finished
    if not already_complete:
        batches = training_batches(
            cases_train,
            batch_size=optimisation.batch_size,
            augmentation=optimisation.augmentation,
            seed=settings.seed,
            first_iteration=run.iteration + 1,
            last_iteration=last,
            positions=positions,
            pin_memory=around.device.type == "cuda",
        )
        steps = train_steps(
            around.wrap(network),
            batches,
            optimizer,
            optimisation,
            learning_rate=lambda n: learning_rate_at(n, initial=rate, last_iteration=last, settings=optimisation),
            device=around.device,
            seed=(settings.seed, around.rank),
            refused_in_a_row=run.refused_in_a_row,
        )
        with closing(batches), _journal(folder, run, around) as append, _memory_refused(optimisation, around):
            for step in steps:
                score = _advance(run, step, network, cases_validation, settings, optimisation, around)
                append(run.rows[-1])
                _record(run, score, settings, around)
                stopping = any_rank(around.stop_requested(), around.device)
                if run.finished or stopping or step.iteration % settings.checkpoint_every == 0:
                    _commit(run, network, optimizer, folder, fingerprint, settings, around)
                if run.finished:
                    break
                if stopping:
                    raise _stopped(folder, run.iteration)
    return _result(run, network, folder, already_complete=already_complete)


def _prepare(network: VNet, optimisation: OptimisationSettings, device: torch.device) -> None:
    layout = torch.channels_last_3d if optimisation.channels_last else torch.contiguous_format
    network.to(device=device, memory_format=layout)  # type: ignore[call-overload]  # not in PyTorch's stubs for 5-D
    network.activation_checkpointing = optimisation.activation_checkpointing
    if optimisation.compile:
        network.compile()  # in place: names of weights stay


def _resumed(
    network: VNet, optimizer: Optimizer, folder: Path, fingerprint: dict[str, Any], around: Surroundings
) -> _Run:
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
        return _Run()
    checkpoint = checkpoint or read_checkpoint(folder, iteration)
    state = checkpoint.state
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    if around.rank == 0:
        around.say(f"going on after iteration {iteration}")
    return _Run(
        iteration=iteration, **{name: state[name] for name in _PLAIN_STATE}, rows=rows_from_plain(state["rows"])
    )


def _advance(
    run: _Run,
    step: StepReport,
    network: VNet,
    cases_validation: TrainingCases,
    settings: TrainSettings,
    optimisation: OptimisationSettings,
    around: Surroundings,
) -> ValidationScore | None:
    """Take a step into the run; validate when it is time."""
    run.iteration, run.refused_in_a_row = step.iteration, step.refused_in_a_row
    run.finished = step.iteration == settings.max_iterations
    score = None
    if run.finished or step.iteration % settings.validate_every == 0:
        copy_buffers_of_rank_0(network)
        score = validation_score(
            network,
            cases_validation,
            optimisation,
            iteration=step.iteration,
            device=around.device,
            rank=around.rank,
            world_size=around.world_size,
        )
        if score.dice > run.best_dice:  # never true of NaN
            run.best_dice, run.best_iteration = score.dice, step.iteration
            run.best_weights = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        run.finished |= any_rank(around.on_validation(score) == "stop", around.device)
    run.rows.append(
        CurveRow(
            iteration=step.iteration,
            train_dice_loss=_finite(step.dice_loss),
            learning_rate=step.learning_rate,
            seconds=step.seconds,
            samples_per_second=step.samples_per_second,
            validation_dice=_finite(score.dice) if score else None,
            validation_soft_dice=_finite(score.soft_dice) if score else None,
        )
    )
    return score


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _record(run: _Run, score: ValidationScore | None, settings: TrainSettings, around: Surroundings) -> None:
    if around.rank != 0:
        return
    row = run.rows[-1]
    for name in ("train_dice_loss", "learning_rate", "seconds", "samples_per_second", *_VALIDATED):
        value = getattr(row, name)
        if value is not None:
            around.recorder.metric(name, value, step=row.iteration)
    loss = "not finite" if row.train_dice_loss is None else f"{row.train_dice_loss:.4f}"
    best = f", validation Dice {run.best_dice:.3f}" if run.best_iteration else ""
    around.progress(row.iteration, f"Dice loss {loss}{best}")


@contextmanager
def _journal(folder: Path, run: _Run, around: Surroundings) -> Iterator[Callable[[CurveRow], None]]:
    if around.rank != 0:
        yield lambda row: None
        return
    with closing(CurveJournal(folder / "curve.jsonl", run.rows)) as journal:
        yield journal.append


def _commit(
    run: _Run,
    network: VNet,
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
            **{name: getattr(run, name) for name in _PLAIN_STATE},
        }
        try:
            write_checkpoint(folder, run.iteration, state, fingerprint)
            discard_old_checkpoints(folder, newest=settings.keep_checkpoints, also_keep={run.best_iteration})
        except Refusal as error:
            refusal = _disk_full(error, folder, run.iteration)
    raised_together(refusal, around.device)


def _result(run: _Run, network: VNet, folder: Path, *, already_complete: bool) -> FitResult:
    if not run.best_iteration:
        problem = f"no validation in {run.iteration} iterations gave a finite Dice"
        fix = "lower train.learning_rate, or check the validation cases with `femseg check`"
        raise Refusal(Fault(id="TR-09", file=str(folder), problem=problem, fix=fix, exit_code=ExitCode.TRAINING_FAILED))
    network.load_state_dict(run.best_weights)
    return FitResult(
        validation_dice=run.best_dice,
        best_iteration=run.best_iteration,
        iterations=run.iteration,
        curve=run.rows,
        already_complete=already_complete,
    )


def _stopped(folder: Path, iteration: int) -> Refusal:
    return Refusal(
        Fault(
            id="TR-06",
            file=str(checkpoint_folder(folder, iteration)),
            problem=f"training was asked to stop and is saved as of iteration {iteration}",
            fix="run the same command again to go on",
            exit_code=ExitCode.RESUMABLE,
        )
    )


def _disk_full(error: Refusal, folder: Path, iteration: int) -> Refusal:
    """TR-05, once the checkpoint before the failed one is proved."""
    good = newest_good_checkpoint(folder, print)
    kept = f"the checkpoint of iteration {good.iteration} is intact" if good else "no checkpoint was written yet"
    return Refusal(
        Fault(
            id="TR-05",
            file=error.faults[0].file,
            problem=f"the checkpoint of iteration {iteration} {error.faults[0].problem}; {kept}",
            fix="free space, then run the same command again to go on",
            exit_code=ExitCode.RESUMABLE,
        )
    )


@contextmanager
def _memory_refused(optimisation: OptimisationSettings, around: Surroundings) -> Iterator[None]:
    """TR-13: out of GPU memory becomes a sentence with the setting to try."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        peak_gib = torch.cuda.max_memory_allocated(around.device) / 2**30
        share = optimisation.batch_size // around.world_size // optimisation.gradient_accumulation
        raise Refusal(
            Fault(
                id="TR-13",
                file=str(around.device),
                problem=f"out of GPU memory with {share} samples at a time on this GPU, peak {peak_gib:.1f} GiB",
                fix="raise gradient_accumulation, set precision to bfloat16, or set activation_checkpointing",
                exit_code=ExitCode.RESOURCE,
            )
        ) from error
