"""promotion.yaml: what a version must show before it may be champion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from femseg.errors import Refusal
from femseg.metrics.definitions import METRICS, metric_named
from femseg.paths import MODELS, PROMOTION_RULES
from femseg.settings import read_whole

_A_DAY_S = 86_400.0


def _require_metric(name: str) -> None:
    if name not in (known := [metric.name for metric in METRICS]):
        raise ValueError(f"metric: expected one of {', '.join(known)}, got {name!r}")


def _is_a_share(name: str) -> bool:
    """Whether a metric lies from 0 to 1."""
    return not metric_named(name).unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptable:
    """The least that is acceptable of one metric on the CTs' own grids; the most, where lower is better.

    Attributes:
        mean: over all test cases.
        worst_case: of any single one; a case without a value fails.
        subgroup_mean: over every subgroup that is large enough.
    """

    mean: float
    worst_case: float
    subgroup_mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInferiority:
    """How much worse than the champion is still no worse, on the same cases.

    Attributes:
        metric: a name of `METRICS`.
        margin: in the metric's unit; the interval of the mean gain must lie above minus this.
        confidence, resamples, seed: of that bootstrap interval.
    """

    metric: str = "dice"
    margin: float = 0.01
    confidence: float = 0.95
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        _require_metric(self.metric)
        if not self.margin > 0:
            raise ValueError(f"margin: expected a positive number, got {self.margin}")
        if _is_a_share(self.metric) and self.margin >= 1:
            raise ValueError(f"margin: expected less than the whole range of {self.metric}, 1, got {self.margin}")
        if not 0.5 <= self.confidence < 1.0:
            raise ValueError(f"confidence: expected from 0.5 up to below 1, got {self.confidence}")
        if not 100 <= self.resamples <= 1_000_000:
            raise ValueError(f"resamples: expected from 100 to 1000000, got {self.resamples}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What segmenting one CT may cost, measured while the gate does it.

    Attributes:
        seconds_per_case: of the slowest test case, from voxels in memory to the mask.
        memory_mib: peak of a process that loads the package and segments every test case.
    """

    seconds_per_case: float = 60.0
    memory_mib: float = 8192.0

    def __post_init__(self) -> None:
        if self.seconds_per_case > _A_DAY_S:
            raise ValueError(f"seconds_per_case: expected at most {_A_DAY_S:.0f}, got {self.seconds_per_case}")
        for name in ("seconds_per_case", "memory_mib"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionRules:
    """The whole of promotion.yaml.

    Attributes:
        acceptable: by metric name.
        fewest_cases: test cases without which nothing is promoted.
        subgroup_cases: cases from which on a subgroup is judged.
        agreement: least Dice of a saved prediction with what the stored package predicts now.
        clean_commit: whether the training's code must be a commit and nothing beside it.
    """

    acceptable: Mapping[str, Acceptable] = field(
        default_factory=lambda: {
            "dice": Acceptable(mean=0.85, worst_case=0.75, subgroup_mean=0.8),
            "hausdorff_95_mm": Acceptable(mean=15.0, worst_case=30.0, subgroup_mean=20.0),
        }
    )
    fewest_cases: int = 5
    subgroup_cases: int = 3
    agreement: float = 0.999
    clean_commit: bool = True
    non_inferiority: NonInferiority = NonInferiority()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not self.acceptable:
            raise ValueError("acceptable: expected at least one metric, got none")
        for name, bound in self.acceptable.items():
            _require_metric(name)
            for key in ("mean", "worst_case", "subgroup_mean"):
                if _is_a_share(name) and not 0.0 <= getattr(bound, key) <= 1.0:
                    raise ValueError(f"{name}.{key}: expected from 0 to 1, got {getattr(bound, key)}")
        for name in ("fewest_cases", "subgroup_cases"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, got {getattr(self, name)}")
        if not 0.9 <= self.agreement <= 1.0:
            raise ValueError(f"agreement: expected from 0.9 to 1, got {self.agreement}")


def read_rules(path: Path = PROMOTION_RULES) -> PromotionRules:
    """Read and check promotion.yaml. Raises: Refusal CFG-01 (exit 2) naming every wrong key."""
    return read_whole(PromotionRules, "promotion", file=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The proposed model and why it, not another.

    Attributes:
        input_mode: of the chosen model.
        validation_dice: by input mode, of every model that was considered.
        reason: one sentence.
    """

    input_mode: str
    validation_dice: dict[str, float]
    reason: str


def best_by_validation(validation_dice: Mapping[str, float | None]) -> Candidate:
    """Choose the model with the highest finite Dice in [0, 1]; ties go to the mode that is named first.

    Raises: Refusal RG-02 (exit 8) if no model has such a Dice.
    """
    usable = {mode: dice for mode, dice in validation_dice.items() if dice is not None and 0.0 <= dice <= 1.0}
    if not usable:
        problem = f"no model has a validation Dice between 0 and 1: {dict(validation_dice)}"
        raise Refusal.of("RG-02", MODELS, problem, "train again; nothing was registered")
    best = max(usable, key=lambda mode: usable[mode])
    others = ", ".join(f"{mode} {dice:.4f}" for mode, dice in usable.items() if mode != best)
    reason = f"validation Dice {usable[best]:.4f}" + (f" against {others}" if others else "")
    return Candidate(input_mode=best, validation_dice=dict(usable), reason=reason)
