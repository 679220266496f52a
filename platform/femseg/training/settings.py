"""How a network is trained: what search and training share, and what is the training's own."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from femseg.errors import Refusal
from femseg.networks.network import NetworkSettings
from femseg.paths import PARAMS
from femseg.training.losses import DiceDenominator, Loss

# start_from is a name: what decides is the weights that it stands for
_HOW_NOT_WHAT = ("use_gpu", "checkpoint_every", "checkpoint_minutes", "keep_checkpoints", "least_workers", "start_from")


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")


def _one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(str, choices))}, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationSettings:
    """Largest changes that augmentation makes to a training sample; each is drawn evenly between its bounds.

    Attributes:
        enabled: off in the paper.
        rotation_degrees: about each axis, in physical space.
        scale: 0.1 stretches by a factor between 1/1.1 and 1.1.
        translation: as a fraction of the volume's edge, along each axis.
        noise_sd: largest standard deviation of added Gaussian noise, in units of the 0..1 input.
        contrast: 0.2 multiplies the distance from the mean by a factor between 1/1.2 and 1.2.
        brightness: largest shift, in units of the 0..1 input.
        mirror_left_right: mirror half of the samples along x, the one axis along which patients come mirrored; right
            only where both sides are one foreground (`cohort.femur: all`).
        elastic_mm: largest shift of single regions, 32 voxels apart, along each axis; patches only.
        thick_slice_mm: largest slice thickness to which a sample is smeared out along z; patches only.
        field_of_view_cut: share of the samples of which a part is cut off, as at the edge of a scan; patches only.
    """

    enabled: bool = False
    rotation_degrees: float = 8.0
    scale: float = 0.1
    translation: float = 0.05
    noise_sd: float = 0.03
    contrast: float = 0.2
    brightness: float = 0.05
    mirror_left_right: bool = False
    elastic_mm: float = 0.0
    thick_slice_mm: float = 0.0
    field_of_view_cut: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, bool):
                _at_least(name, value, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimisationSettings:
    """What search and training share.

    Attributes:
        batch_size: samples of one optimiser step, over all workers together.
        loss: soft "dice" (the paper), or "dice_ce", which adds the cross-entropy.
        loss_denominator: of the soft Dice loss.
        optimizer: "adam" is the paper's.
        schedule: the learning rate over the iterations; "constant" is the paper's, "cosine" falls to zero at the end.
        precision: "bfloat16" computes convolutions in bfloat16 by autocast; weights, sums and losses stay float32.
        gradient_accumulation: micro-batches into which a worker cuts its share of the batch to save memory.
        activation_checkpointing: compute activations again in the backward pass to save memory.
        channels_last: memory layout of features; faster on CPUs and, in bfloat16, on GPUs.
        compile: let torch.compile fuse the network; costs a minute at start.
        non_finite_limit: steps in a row with a non-finite loss or gradient after which training stops.
        augmentation: changes to training samples.
    """

    batch_size: int = 2
    loss: Loss = "dice"
    loss_denominator: DiceDenominator = "squared"
    optimizer: Literal["adam", "adamw"] = "adam"
    schedule: Literal["constant", "cosine"] = "constant"
    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_accumulation: int = 1
    activation_checkpointing: bool = False
    channels_last: bool = True
    compile: bool = False
    non_finite_limit: int = 3
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)

    def __post_init__(self) -> None:
        _one_of("loss", self.loss, ("dice", "dice_ce"))
        _one_of("loss_denominator", self.loss_denominator, ("squared", "linear"))
        _one_of("optimizer", self.optimizer, ("adam", "adamw"))
        _one_of("schedule", self.schedule, ("constant", "cosine"))
        _one_of("precision", self.precision, ("float32", "bfloat16"))
        for name in ("batch_size", "gradient_accumulation", "non_finite_limit"):
            _at_least(name, getattr(self, name), 1)
        if self.batch_size % self.gradient_accumulation:
            raise ValueError(
                f"gradient_accumulation: expected a divisor of batch_size ({self.batch_size}), "
                f"got {self.gradient_accumulation}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """The `train:` section of params.yaml.

    Attributes:
        learning_rate: of the optimiser, or "search" for what the search found best for the input mode.
        max_iterations: optimiser steps.
        validate_every: iterations between validations; the last iteration is always validated.
        checkpoint_every: iterations between checkpoints; what a killed run loses at most.
        checkpoint_minutes: a checkpoint also when the last one is so old; 0 leaves it at iterations.
        keep_checkpoints: newest checkpoints kept besides the best by validation.
        workers: data-parallel processes; each takes its share of the batch. A run may go on with another number.
        least_workers: how few workers may go on while the cluster has no room for all; 0 waits for all. See
            `fewest_workers`.
        use_gpu: one GPU for each worker.
        start_from: whose weights are the initial ones: "shipped", a registered model or a package's folder; "" draws
            them from the seed.
        seed: of the initial weights, the order of cases, augmentation and dropout.
    """

    learning_rate: float | Literal["search"] = 1e-4
    max_iterations: int = 10_000
    validate_every: int = 500
    checkpoint_every: int = 200
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    workers: int = 1
    least_workers: int = 0
    use_gpu: bool = False
    start_from: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        rate = self.learning_rate
        if rate != "search" and (isinstance(rate, str) or not 0.0 < rate < 10.0):
            raise ValueError(
                f"learning_rate: expected a positive number or 'search', got {rate!r}; in quotes it is text"
            )
        if rate == "search" and self.start_from:
            raise ValueError("learning_rate: expected a number with start_from; the search starts from drawn weights")
        for name in ("max_iterations", "validate_every", "checkpoint_every", "keep_checkpoints", "workers"):
            _at_least(name, getattr(self, name), 1)
        _at_least("seed", self.seed, 0)
        _at_least("least_workers", self.least_workers, 0)
        if self.least_workers > self.workers:
            raise ValueError(f"least_workers: expected at most workers ({self.workers}), got {self.least_workers}")
        _at_least("checkpoint_minutes", self.checkpoint_minutes, 0)


def what_decides(train: TrainSettings, network: NetworkSettings) -> dict[str, Any]:
    """The settings that make a run itself; how it is carried out may differ when it goes on (TR-12).

    The number of workers is among them only where `share_matters`.
    """
    left_out = {*_HOW_NOT_WHAT, *(() if network.share_matters else ("workers",))}
    return {name: value for name, value in asdict(train).items() if name not in left_out}


def fewest_workers(train: TrainSettings, network: NetworkSettings) -> int:
    """How many workers a run needs at least: all of them where `share_matters`, whatever `least_workers` allows."""
    return train.workers if network.share_matters else train.least_workers or train.workers


def refuse_other_shares(network: NetworkSettings, train: TrainSettings, world_size: int) -> None:
    """Raises: Refusal (TR-12, exit 2) if this many workers would make another run of it than the settings say."""
    if network.share_matters and world_size != train.workers:
        problem = (
            f"batch statistics and dropout see a worker's share as a whole: a run with train.workers "
            f"{train.workers} cannot go on with {world_size}"
        )
        fix = "give it that many workers, or set network.normalisation to instance and network.dropout to 0"
        raise Refusal.of("TR-12", PARAMS, problem, fix)
