"""The training loop: a `Trainer` is one worker's whole run, on one CPU as on many GPUs."""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from femseg.errors import Refusal
from femseg.files.lock import locked
from femseg.networks.network import Network
from femseg.training.agreement import (
    any_rank,
    copy_buffers_of_rank_0,
    each_of_any_rank,
    refused_together,
    summed_over_ranks,
)
from femseg.training.batches import Batch, TrainingCases, samples_at_a_time, share_of_rank, training_batches
from femseg.training.checkpoint import (
    CheckpointTimes,
    checkpoint_folder,
    discard_old_checkpoints,
    disk_full,
    write_checkpoint,
)
from femseg.training.context import TrainerContext
from femseg.training.curves import CurveJournal, CurveRow
from femseg.training.device import (
    add_gradients,
    build_optimizer,
    learning_rate_at,
    move_to_device,
    out_of_memory_refused,
)
from femseg.training.run_identity import newest_checkpoint_of_run
from femseg.training.run_state import FitResult, RunState
from femseg.training.settings import OptimisationSettings, TrainSettings, refuse_other_shares
from femseg.training.validation import validation_score

_PREDECESSOR_S = 30.0


class Trainer:
    """One worker's training run: network, optimiser, data, and how far it has come.

    A run that is killed at any instant and started again ends with the same bits, on a CPU, as one that was not.

    Attributes:
        network: its own; `model` is the same for data-parallel training, and shares its weights.
        gradient_norm: of the newest step, averaged over ranks.
    """

    def __init__(
        self,
        network: Network,
        cases: TrainingCases,
        validation_cases: TrainingCases,
        settings: TrainSettings,
        optimisation: OptimisationSettings,
        *,
        folder: Path,
        fingerprint: dict[str, Any],
        context: TrainerContext | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            network: with its initial weights, the same on every rank.
            settings: with a number as learning rate.
            folder: the run's own, seen by all ranks; holds `step-*/` and `curve.jsonl`.
            fingerprint: what makes this run itself: settings, data hashes, code; JSON values.
        Raises: ValueError if the learning rate is still to be searched.
        """
        if isinstance(settings.learning_rate, str):
            raise ValueError("learning_rate: expected a number, got 'search'; take it from the search's result first")
        self.cases, self.validation_cases = cases, validation_cases
        self.settings, self.optimisation = settings, optimisation
        self.folder, self.fingerprint = folder, fingerprint
        self.context = context or TrainerContext()
        self.device = self.context.device
        move_to_device(network, optimisation, self.device)
        self.network: Network = network
        self.model: nn.Module = network
        self.optimizer = build_optimizer(network, optimisation)
        self.state = RunState()
        self.gradient_norm = 0.0
        self._norms_not_finite = 0.0
        self._buffers_before: list[tuple[Tensor, Tensor]] = []
        self._step_started = 0.0
        self._journal: CurveJournal | None = None  # of rank 0, while it trains
        self._checkpoint_times = CheckpointTimes(every=settings.checkpoint_every, minutes=settings.checkpoint_minutes)

    def fit(self) -> FitResult:
        """Train to the end, from the newest good checkpoint or from the start; every rank calls it.

        Raises: Refusal: TR-03 (exit 4) no good checkpoint, TR-05 (75) disk full, TR-06 (75) stopped on request, TR-09
            (7) not finite, TR-11 (2) the folder holds another run, TR-12 (2) another number of workers would change it,
            TR-13 (5) out of GPU memory, ST-08 (2) another process writes there.
        """
        with self._folder_locked():
            self.resume()
            if self.state.finished:
                return self.result(already_complete=True)
            refuse_other_shares(self.network.settings, self.settings, self.context.world_size)
            with out_of_memory_refused(self.optimisation, self.device), self._training():
                for batch in self.batches():
                    loss = self.forward_backward(batch)
                    if self.all_finite(loss):
                        self.optimizer.step()
                    self.end_step(batch, loss)
                    self.validate_if_due()
                    self.record()
                    self.checkpoint_if_due()
                    self.refuse_non_finite(batch, loss)
        return self.result()

    def finished_result(self) -> FitResult:
        """What a complete run has left; nothing is trained. Raises: RuntimeError if the run is not complete."""
        with self._folder_locked():
            self.resume()
        if not self.state.finished:
            raise RuntimeError(f"{self.folder}: the training is not complete")
        return self.result(already_complete=True)

    def batches(self) -> Iterator[Batch]:
        """This rank's share of the batches that the run still has to make."""
        batches = training_batches(
            self.cases,
            batch_size=self.optimisation.batch_size,
            augmentation=self.optimisation.augmentation,
            seed=self.settings.seed,
            first_iteration=self.state.iteration + 1,
            last_iteration=self.settings.max_iterations,
            positions=share_of_rank(
                self.optimisation.batch_size, rank=self.context.rank, world_size=self.context.world_size
            ),
            pin_memory=self.device.type == "cuda",
        )
        with closing(batches):
            self._step_started = time.perf_counter()
            for batch in batches:
                yield batch
                if self.state.finished:
                    return
                self._step_started = time.perf_counter()

    def forward_backward(self, batch: Batch) -> float:
        """Gradients of a batch, averaged over ranks, and its mean loss over all ranks; no weight changes."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(batch.iteration, self.settings, self.optimisation)
        dropout_seed = np.random.default_rng((self.settings.seed, self.context.rank, batch.iteration)).integers(2**63)
        torch.manual_seed(int(dropout_seed))
        self._buffers_before = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        micro_batch = samples_at_a_time(self.optimisation, workers=self.settings.workers)
        own_loss = add_gradients(self.model, batch, self.optimisation, device=self.device, micro_batch=micro_batch)
        self.gradient_norm = float(get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None]))
        terms = [1.0, own_loss, float(not math.isfinite(self.gradient_norm))]
        ranks, loss_sum, self._norms_not_finite = summed_over_ranks(terms, self.device)
        return loss_sum / ranks

    def all_finite(self, loss: float) -> bool:
        """Whether loss and gradients are finite on every rank; if not, running statistics are as before the batch."""
        if math.isfinite(loss) and not self._norms_not_finite:
            self.state.refused_in_a_row = 0
            return True
        self.state.refused_in_a_row += 1
        for buffer, before in self._buffers_before:
            buffer.copy_(before)
        return False

    def end_step(self, batch: Batch, loss: float) -> None:
        """Count the step and add its row to the curve."""
        seconds = time.perf_counter() - self._step_started
        self.state.iteration = batch.iteration
        self.state.finished = batch.iteration == self.settings.max_iterations
        self.state.rows.append(
            CurveRow(
                iteration=batch.iteration,
                train_dice_loss=_finite(loss),
                learning_rate=self.optimizer.param_groups[0]["lr"],
                seconds=seconds,
                samples_per_second=len(batch.case_ids) / seconds,
            )
        )

    def validate_if_due(self) -> None:
        """Score the network at its interval and at the end; keep the weights that are best by validation."""
        state = self.state
        if not state.finished and state.iteration % self.settings.validate_every:
            return
        copy_buffers_of_rank_0(self.network)
        score = validation_score(
            self.network, self.validation_cases, self.optimisation, iteration=state.iteration, device=self.device
        )
        if score.dice > state.best_dice:  # never true of NaN
            state.best_dice, state.best_iteration = score.dice, state.iteration
            state.best_weights = {
                name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()
            }
        state.rows[-1] = replace(
            state.rows[-1], validation_dice=_finite(score.dice), validation_soft_dice=_finite(score.soft_dice)
        )
        state.finished |= any_rank(self.context.on_validation(score) == "stop", self.device)

    def record(self) -> None:
        """The newest row goes to the journal, the recorder and the progress bar, on rank 0."""
        if self._journal is None:
            return
        row, state = self.state.rows[-1], self.state
        self._journal.append(row)
        for name, value in asdict(row).items():
            if name != "iteration" and value is not None:
                self.context.recorder.metric(name, value, step=row.iteration)
        loss = "not finite" if row.train_dice_loss is None else f"{row.train_dice_loss:.4f}"
        best = f", validation Dice {state.best_dice:.3f}" if state.best_iteration else ""
        self.context.progress(row.iteration, f"loss {loss}{best}")

    def checkpoint_if_due(self) -> None:
        """Write a checkpoint at its interval, at the end, and before leaving when a stop is requested (TR-06)."""
        iteration = self.state.iteration
        wishes = (self.context.stop_requested(), self._checkpoint_times.due(iteration))
        stopping, due = each_of_any_rank(wishes, self.device)
        if self.state.finished or stopping or due:
            self.checkpoint()
            self._checkpoint_times.written()
        if stopping and not self.state.finished:
            folder = checkpoint_folder(self.folder, iteration)
            problem = f"training was asked to stop and is saved as of iteration {iteration}"
            raise Refusal.of("TR-06", folder, problem, "run the same command again to go on")

    def refuse_non_finite(self, batch: Batch, loss: float) -> None:
        """Raises: Refusal (TR-09, exit 7) after `non_finite_limit` steps in a row that were not finite."""
        in_a_row = self.state.refused_in_a_row
        if self.state.finished or in_a_row < self.optimisation.non_finite_limit:
            return
        problem = (
            f"loss {loss} and gradient norm {self.gradient_norm} for cases {', '.join(batch.case_ids)}; "
            f"{in_a_row} steps in a row were not finite and none of them touched the weights"
        )
        fix = "check these cases with `femseg check`, or lower train.learning_rate"
        raise Refusal.of("TR-09", f"iteration {batch.iteration}", problem, fix)

    def resume(self) -> None:
        """Go on from the newest good checkpoint; without one, from the start."""
        checkpoint = newest_checkpoint_of_run(self.folder, self.fingerprint, self.context)
        if checkpoint is None:
            return
        self.network.load_state_dict(checkpoint.state["network"])
        self.optimizer.load_state_dict(checkpoint.state["optimizer"])
        self.state = RunState.restored(checkpoint.iteration, checkpoint.state)
        if self.context.rank == 0:
            before, now = checkpoint.state["workers"], self.context.world_size
            changed = f" with {now} workers instead of {before}" if before != now else ""
            self.context.say(f"going on after iteration {checkpoint.iteration}{changed}")

    def checkpoint(self) -> None:
        """Write a checkpoint on rank 0; every rank learns whether that went well."""
        iteration, best, say = self.state.iteration, self.state.best_iteration, self.context.say
        with refused_together(self.device):
            if self.context.rank != 0:
                return
            state = {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "workers": self.context.world_size,
                **self.state.as_plain(),
            }
            try:
                write_checkpoint(self.folder, iteration, state, self.fingerprint)
                discard_old_checkpoints(self.folder, newest=self.settings.keep_checkpoints, also_keep={best}, say=say)
                self.context.on_checkpoint(iteration, best)
            except Refusal as error:
                raise disk_full(error, self.folder, iteration, say) from None

    def result(self, *, already_complete: bool = False) -> FitResult:
        """What the run leaves, with the best weights in the network."""
        result = self.state.result(self.folder, already_complete=already_complete)
        self.network.load_state_dict(self.state.best_weights)
        return result

    @contextmanager
    def _folder_locked(self) -> Iterator[None]:
        """Rank 0 holds the run's folder while the block runs; every rank must enter it.

        A driver that was killed may leave ranks that train on for some seconds, and a rank that hangs may come back to
        life: two that write the same checkpoint could leave one's state beside the other's COMMIT.

        Raises: Refusal (ST-08, exit 2) naming the writer if it has not gone after half a minute.
        """
        with ExitStack() as held:
            with refused_together(self.device):
                if self.context.rank == 0:
                    lock = locked(self.folder, name=".writer", wait_s=_PREDECESSOR_S, say=self.context.say)
                    held.enter_context(lock)
            yield

    @contextmanager
    def _training(self) -> Iterator[None]:
        """The model is wrapped, and rank 0 adds to `curve.jsonl`, while the block runs; every rank must enter it."""
        with ExitStack() as opened:
            with refused_together(self.device):
                if self.context.rank == 0:
                    journal = CurveJournal(self.folder / "curve.jsonl", self.state.rows)
                    self._journal = opened.enter_context(closing(journal))
            self.model = self.context.wrap(self.network)
            try:
                yield
            finally:
                self.model = self.network  # what DDP holds must not outlive the process group: gloo would hang


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
