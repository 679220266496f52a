"""The whole training run of one worker: batches, steps, validation, checkpoints, the best weights."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import get_total_norm
from torch.optim import Adam, AdamW, Optimizer

from femseg.errors import Fault, Refusal
from femseg.networks.network import Network, foreground_probability
from femseg.training.agreement import (
    any_rank,
    copy_buffers_of_rank_0,
    each_of_any_rank,
    number_of_ranks,
    raised_together,
    summed_over_ranks,
)
from femseg.training.batches import Batch, TrainingCases, samples_at_a_time, share_of_rank, training_batches
from femseg.training.checkpoint import CheckpointTimes, checkpoint_folder
from femseg.training.curves import CurveJournal, CurveRow
from femseg.training.losses import soft_dice_loss
from femseg.training.precision import autocast, on_device
from femseg.training.run_state import Run, commit, resumed_run
from femseg.training.settings import OptimisationSettings, TrainSettings, refuse_other_shares
from femseg.training.sole_writer import sole_writer
from femseg.training.surroundings import Surroundings
from femseg.training.validation import validation_score

# The training loop in plain PyTorch: batches in, one report per optimiser step out.


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One optimiser step.

    Attributes:
        iteration: counted from 1.
        dice_loss: mean over the whole batch, all workers together.
        gradient_norm: of the averaged gradient.
        applied: False if loss or gradient were not finite; weights, optimiser and statistics are then as before.
        refused_in_a_row: steps up to this one that were not applied.
        seconds: wall-clock time of the step, waiting for its data included.
    """

    iteration: int
    dice_loss: float
    gradient_norm: float
    applied: bool
    refused_in_a_row: int
    learning_rate: float
    seconds: float
    samples_per_second: float


def build_optimizer(network: nn.Module, settings: OptimisationSettings) -> Optimizer:
    """Adam with PyTorch's defaults (betas 0.9, 0.999); the learning rate is set at every step."""
    kinds: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}
    return kinds[settings.optimizer](network.parameters(), lr=0.0, fused=True)  # one pass over the weights


def learning_rate_at(iteration: int, *, initial: float, last_iteration: int, settings: OptimisationSettings) -> float:
    """Learning rate of one iteration (from 1), whatever happened before it."""
    if settings.schedule == "constant":
        return initial
    return initial * 0.5 * (1.0 + math.cos(math.pi * (iteration - 1) / last_iteration))


def train_steps(
    network: nn.Module,
    batches: Iterable[Batch],
    optimizer: Optimizer,
    settings: OptimisationSettings,
    *,
    learning_rate: Callable[[int], float],
    device: torch.device,
    at_a_time: int | None = None,
    seed: tuple[int, ...] = (0,),
    refused_in_a_row: int = 0,
) -> Iterator[StepReport]:
    """One optimiser step per batch; a step whose loss or gradient is not finite never touches the weights.

    Args:
        network: (B, C, Z, Y, X) to two channels of logits; perhaps wrapped for data-parallel training, where every rank
            takes the same decision at every step.
        learning_rate: of an iteration.
        at_a_time: samples of a micro-batch; by default this worker's share, cut as `gradient_accumulation` says.
        seed: of dropout, which is drawn anew for each iteration; differs from rank to rank.
        refused_in_a_row: steps not applied just before the first of these batches.
    Raises: Refusal (TR-09, exit 7) after `settings.non_finite_limit` such steps in a row.
    """
    network.train()
    started = time.perf_counter()
    for batch in batches:
        rate = learning_rate(batch.iteration)
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(int(np.random.default_rng((*seed, batch.iteration)).integers(2**63)))  # dropout
        buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
        optimizer.zero_grad(set_to_none=True)
        micro_batch = at_a_time or math.ceil(len(batch.input_bczyx) / settings.gradient_accumulation)
        own_loss = _backward(network, batch, settings, device, micro_batch)
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        norm = float(get_total_norm(gradients))
        ranks, loss_sum, wrong = summed_over_ranks([1.0, own_loss, float(not math.isfinite(norm))], device)
        applied = math.isfinite(loss_sum) and not wrong
        if applied:
            optimizer.step()
            refused_in_a_row = 0
        else:
            refused_in_a_row += 1
            for buffer, before in buffers:
                buffer.copy_(before)
        now = time.perf_counter()
        yield StepReport(
            iteration=batch.iteration,
            dice_loss=loss_sum / ranks,
            gradient_norm=norm,
            applied=applied,
            refused_in_a_row=refused_in_a_row,
            learning_rate=rate,
            seconds=now - started,
            samples_per_second=len(batch.case_ids) / (now - started),
        )
        if refused_in_a_row >= settings.non_finite_limit:
            raise _not_finite(batch, loss_sum / ranks, norm, refused_in_a_row)
        network.train()
        started = time.perf_counter()


def _backward(
    network: nn.Module, batch: Batch, settings: OptimisationSettings, device: torch.device, at_a_time: int
) -> float:
    """Gradients of this rank's share, in micro-batches; DDP averages them over ranks with the last one.

    Every sample weighs the same, however the batch is shared: the average over ranks is undone in the weights.
    """
    inputs = on_device(batch.input_bczyx, settings, device).split(at_a_time)
    targets = batch.target_bzyx.to(device, non_blocking=True).split(at_a_time)
    weight_of_sample = number_of_ranks() / len(batch.case_ids)
    total = torch.zeros((), device=device)
    for number, (input_bczyx, target_bzyx) in enumerate(zip(inputs, targets, strict=True), start=1):
        alone = getattr(network, "no_sync", None) if number < len(inputs) else None
        with alone() if alone else nullcontext():
            with autocast(settings, device):
                logits = network(input_bczyx)
            probability = foreground_probability(logits)
            loss = soft_dice_loss(probability, target_bzyx, denominator=settings.loss_denominator)
            loss = loss * (len(input_bczyx) * weight_of_sample)
            loss.backward()
        total += loss.detach()
    return float(total)


def _not_finite(batch: Batch, loss: float, norm: float, in_a_row: int) -> Refusal:
    return Refusal(
        Fault(
            id="TR-09",
            file=f"iteration {batch.iteration}",
            problem=f"Dice loss {loss} and gradient norm {norm} for cases {', '.join(batch.case_ids)}; "
            f"{in_a_row} steps in a row were not finite and none of them touched the weights",
            fix="check these cases with `femseg check`, or lower train.learning_rate",
        )
    )


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


def fit(
    network: Network,
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
        folder: the run's own, seen by all ranks; holds `step-*/` and `curve.jsonl`. One process writes there (ST-08).
        fingerprint: what makes this run itself: settings, data hashes, code; JSON values.
    Raises: ValueError on settings that do not fit; Refusal: TR-03 (exit 4) no good checkpoint, TR-05 (75) disk full,
        TR-06 (75) stopped on request, TR-09 (7) not finite, TR-11 (2) the folder holds another run, TR-12 (2)
        another number of workers would change it, TR-13 (5) out of GPU memory, ST-08 (2) another process writes there.
    """
    around = surroundings or Surroundings()
    if isinstance(settings.learning_rate, str):
        raise ValueError("learning_rate: expected a number, got 'search'; take it from the search's result first")
    _prepare(network, optimisation, around.device)
    optimizer = build_optimizer(network, optimisation)
    with sole_writer(folder, around):
        run = resumed_run(network, optimizer, folder, fingerprint, around)
        already_complete = run.finished
        if not already_complete:
            refuse_other_shares(network.settings, settings, around.world_size)
            times = CheckpointTimes(every=settings.checkpoint_every, minutes=settings.checkpoint_minutes)
            steps = _steps(run, network, optimizer, cases_train, settings, optimisation, around)
            with closing(steps), _journal(folder, run, around) as append, _memory_refused(optimisation, around):
                for step in steps:
                    _advance(run, step, network, cases_validation, settings, optimisation, around)
                    append(run.rows[-1])
                    _record(run, around)
                    wishes = (around.stop_requested(), times.due(step.iteration))
                    stopping, due = each_of_any_rank(wishes, around.device)
                    if run.finished or stopping or due:
                        commit(run, network, optimizer, folder, fingerprint, settings, around)
                        times.written()
                    if run.finished:
                        break
                    if stopping:
                        raise _stopped(folder, run.iteration)
    return _result(run, network, folder, already_complete=already_complete)


def _steps(
    run: Run,
    network: Network,
    optimizer: Optimizer,
    cases: TrainingCases,
    settings: TrainSettings,
    optimisation: OptimisationSettings,
    around: Surroundings,
) -> Generator[StepReport, None, None]:
    """The steps that the run still has to make."""
    rate, last = float(settings.learning_rate), settings.max_iterations
    batches = training_batches(
        cases,
        batch_size=optimisation.batch_size,
        augmentation=optimisation.augmentation,
        seed=settings.seed,
        first_iteration=run.iteration + 1,
        last_iteration=last,
        positions=share_of_rank(optimisation.batch_size, rank=around.rank, world_size=around.world_size),
        pin_memory=around.device.type == "cuda",
    )
    with closing(batches):
        yield from train_steps(
            around.wrap(network),
            batches,
            optimizer,
            optimisation,
            learning_rate=lambda n: learning_rate_at(n, initial=rate, last_iteration=last, settings=optimisation),
            device=around.device,
            at_a_time=samples_at_a_time(
                optimisation.batch_size,
                workers=settings.workers,
                gradient_accumulation=optimisation.gradient_accumulation,
            ),
            seed=(settings.seed, around.rank),
            refused_in_a_row=run.refused_in_a_row,
        )


def _prepare(network: Network, optimisation: OptimisationSettings, device: torch.device) -> None:
    layout = torch.channels_last_3d if optimisation.channels_last else torch.contiguous_format
    network.to(device=device, memory_format=layout)  # type: ignore[call-overload]  # not in PyTorch's stubs for 5-D
    network.activation_checkpointing = optimisation.activation_checkpointing
    if optimisation.compile:
        network.compile()  # in place: names of weights stay


def _advance(
    run: Run,
    step: StepReport,
    network: Network,
    cases_validation: TrainingCases,
    settings: TrainSettings,
    optimisation: OptimisationSettings,
    around: Surroundings,
) -> None:
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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _record(run: Run, around: Surroundings) -> None:
    """Tell recorder and progress of the newest row, on rank 0."""
    if around.rank != 0:
        return
    row = run.rows[-1]
    for name, value in asdict(row).items():
        if name != "iteration" and value is not None:
            around.recorder.metric(name, value, step=row.iteration)
    loss = "not finite" if row.train_dice_loss is None else f"{row.train_dice_loss:.4f}"
    best = f", validation Dice {run.best_dice:.3f}" if run.best_iteration else ""
    around.progress(row.iteration, f"Dice loss {loss}{best}")


@contextmanager
def _journal(folder: Path, run: Run, around: Surroundings) -> Iterator[Callable[[CurveRow], None]]:
    """How rank 0 adds to `curve.jsonl`; the others add nothing. Every rank must call it."""
    journal, refusal = None, None
    if around.rank == 0:
        try:
            journal = CurveJournal(folder / "curve.jsonl", run.rows)
        except Refusal as error:
            refusal = error
    raised_together(refusal, around.device)
    if journal is None:
        yield lambda row: None
        return
    with closing(journal):
        yield journal.append


def _result(run: Run, network: Network, folder: Path, *, already_complete: bool) -> FitResult:
    if not run.best_iteration:
        problem = f"no validation in {run.iteration} iterations gave a finite Dice"
        fix = "lower train.learning_rate, or check the validation cases with `femseg check`"
        raise Refusal(Fault(id="TR-09", file=str(folder), problem=problem, fix=fix))
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
            )
        ) from error
