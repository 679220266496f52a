"""Which cases make up which batch: a pure function of seed and iteration, the same for any number of workers."""

import math
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from femseg.training.augmentation import Triple, augmented, drawn_change
from femseg.training.settings import AugmentationSettings, OptimisationSettings

_AHEAD = 2  # batches made while the network computes
_WHO = 1  # of the stream that says who stands in for a case; a sample's own has no fourth number


Sample = tuple[Tensor, Tensor]  # network input (C, Z, Y, X) and reference mask (Z, Y, X), both float32
DrawKey = tuple[int, int, int]


class TrainingCases(Protocol):
    """Where samples come from. Each call may read a file; nothing is kept in memory here."""

    @property
    def case_ids(self) -> Sequence[str]:
        """The cases, in any order."""
        ...

    def sample(self, case_id: str, augmentation: AugmentationSettings, draw_key: DrawKey) -> Sample:
        """A sample to train on; what is drawn for it depends on the key alone."""
        ...

    def validation_samples(self, case_id: str) -> Iterator[Sample]:
        """What the network is scored on, always the same."""
        ...


class WholeVolumes:
    """Cases whose whole volume is one sample: a base for what gives their arrays."""

    def input_czyx(self, case_id: str) -> NDArray[np.floating[Any]]:
        """Network input, shape (C, Z, Y, X), 0..1."""
        raise NotImplementedError

    def target_zyx(self, case_id: str) -> NDArray[Any]:
        """Reference mask of the same grid, shape (Z, Y, X), 0 or 1."""
        raise NotImplementedError

    def spacing_mm_zyx(self, case_id: str) -> Triple:
        """Voxel spacing of the network grid: augmentation turns volumes in physical space."""
        raise NotImplementedError

    def sample(self, case_id: str, augmentation: AugmentationSettings, draw_key: DrawKey) -> Sample:
        """See `TrainingCases`. Raises: ValueError if input and mask differ in shape."""
        input_czyx, target_zyx = next(self.validation_samples(case_id))
        if not augmentation.enabled:
            return input_czyx, target_zyx
        change = drawn_change(augmentation, np.random.default_rng(draw_key))
        return augmented(input_czyx, target_zyx, change, spacing_mm_zyx=self.spacing_mm_zyx(case_id))

    def validation_samples(self, case_id: str) -> Iterator[Sample]:
        """See `TrainingCases`. Raises: ValueError if input and mask differ in shape."""
        input_czyx = torch.from_numpy(np.array(self.input_czyx(case_id), dtype=np.float32))
        target_zyx = torch.from_numpy(np.array(self.target_zyx(case_id), dtype=np.float32))
        if input_czyx.shape[1:] != target_zyx.shape:
            raise ValueError(
                f"case {case_id}: input of shape {tuple(input_czyx.shape)} (C, Z, Y, X) and mask of shape "
                f"{tuple(target_zyx.shape)} (Z, Y, X) do not match"
            )
        yield input_czyx, target_zyx


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedCases:
    """A cohort, of whose samples a share is of others: what a network was robust to, it keeps while it learns a cohort.

    Attributes:
        cohort: whose turn it is; validation sees these alone.
        others: who stand in.
        share: of the samples, in the long run.
    """

    cohort: TrainingCases
    others: TrainingCases
    share: float

    @property
    def case_ids(self) -> Sequence[str]:
        """The cohort's cases."""
        return self.cohort.case_ids

    def standing(self, case_id: str, draw_key: DrawKey) -> str:
        """The case whose turn it is, or who stands in for it; the key alone decides."""
        generator = np.random.default_rng((*draw_key, _WHO))
        if generator.random() >= self.share:
            return case_id
        return self.others.case_ids[int(generator.integers(len(self.others.case_ids)))]

    def sample(self, case_id: str, augmentation: AugmentationSettings, draw_key: DrawKey) -> Sample:
        """See `TrainingCases`; of whoever stands for the case."""
        standing = self.standing(case_id, draw_key)
        cases = self.cohort if standing == case_id else self.others
        return cases.sample(standing, augmentation, draw_key)

    def validation_samples(self, case_id: str) -> Iterator[Sample]:
        """See `TrainingCases`."""
        return self.cohort.validation_samples(case_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One worker's share of a batch.

    Attributes:
        iteration: counted from 1.
        case_ids: the whole batch over all workers, in order.
        input_bczyx: this worker's samples, float32.
        target_bzyx: their reference masks, float32.
    """

    iteration: int
    case_ids: tuple[str, ...]
    input_bczyx: Tensor
    target_bzyx: Tensor


def global_batch(case_ids: Sequence[str], *, seed: int, iteration: int, batch_size: int) -> tuple[str, ...]:
    """The cases of one iteration (from 1): every case once in each epoch, epochs shuffled anew and laid end to end.

    Raises: ValueError if there are no cases.
    """
    return _batch_of(sorted(case_ids), seed=seed, iteration=iteration, batch_size=batch_size)


def _batch_of(ordered: Sequence[str], *, seed: int, iteration: int, batch_size: int) -> tuple[str, ...]:
    if not ordered:
        raise ValueError("no training cases: the training part of the split is empty")
    first = (iteration - 1) * batch_size
    places = [divmod(sample, len(ordered)) for sample in range(first, first + batch_size)]
    return tuple(ordered[_order_of_epoch(seed, epoch, len(ordered))[place]] for epoch, place in places)


@lru_cache(maxsize=2)  # a batch may end one epoch and begin the next
def _order_of_epoch(seed: int, epoch: int, cases: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(cases)


def share_of_rank(batch_size: int, *, rank: int, world_size: int) -> range:
    """Positions in the global batch that a worker takes; shares differ by one sample at most.

    Raises: ValueError if a worker would have no sample.
    """
    if world_size > batch_size:
        raise ValueError(f"batch_size: expected at least one sample for each of {world_size} workers, got {batch_size}")
    return range(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)


def samples_at_a_time(optimisation: OptimisationSettings, *, workers: int) -> int:
    """Samples of a micro-batch with as many workers as the settings say.

    Fewer workers compute as many at a time, more often: a batch stays what it is, and so does the memory it takes.
    """
    return math.ceil(optimisation.batch_size / workers / optimisation.gradient_accumulation)


def training_batches(
    cases: TrainingCases,
    *,
    batch_size: int,
    augmentation: AugmentationSettings,
    seed: int,
    first_iteration: int,
    last_iteration: int,
    positions: range,
    pin_memory: bool = False,
) -> Generator[Batch, None, None]:
    """This worker's batches from `first_iteration` to `last_iteration`, made a little ahead in a thread.

    Augmentation of a sample depends on (seed, iteration, position in the global batch) alone.
    """

    ordered = sorted(cases.case_ids)  # once: many thousand names take longer than a step's share of the reading

    def made(iteration: int) -> Batch:
        case_ids = _batch_of(ordered, seed=seed, iteration=iteration, batch_size=batch_size)
        samples = [cases.sample(case_ids[place], augmentation, (seed, iteration, place)) for place in positions]
        if isinstance(cases, MixedCases):
            case_ids = tuple(cases.standing(one, (seed, iteration, place)) for place, one in enumerate(case_ids))
        inputs, targets = (torch.stack(parts) for parts in zip(*samples, strict=True))
        if pin_memory:
            inputs, targets = inputs.pin_memory(), targets.pin_memory()
        return Batch(iteration=iteration, case_ids=case_ids, input_bczyx=inputs, target_bzyx=targets)

    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
    pending: deque[Future[Batch]] = deque()
    try:
        for iteration in range(first_iteration, last_iteration + 1):
            while len(pending) <= _AHEAD and iteration + len(pending) <= last_iteration:
                pending.append(pool.submit(made, iteration + len(pending)))
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
