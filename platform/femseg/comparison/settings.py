"""The `compare:` section of params.yaml."""

from dataclasses import dataclass

from femseg.comparison.threshold_baseline import DEFAULT_THRESHOLD_HU


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """How input modes are compared.

    Attributes:
        cohort_name: heading of the report.
        threshold_hu: of the plain threshold beside the models.
        confidence: of the bootstrap intervals; the tests' level is what it leaves.
        resamples: bootstrap resamples of the cases, and sign patterns of the permutation test.
        seed: of both.
        dice_margin: the smallest difference in Dice that matters in practice; 0 sets none.
    """

    cohort_name: str = "Phantom cohort"
    threshold_hu: float = DEFAULT_THRESHOLD_HU
    confidence: float = 0.95
    resamples: int = 10_000
    seed: int = 0
    dice_margin: float = 0.01

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1.0:
            raise ValueError(f"confidence: expected from 0.5 up to below 1, got {self.confidence}")
        if self.resamples < 100:
            raise ValueError(f"resamples: expected at least 100, got {self.resamples}")
        if not 0.0 <= self.dice_margin < 1.0:
            raise ValueError(f"dice_margin: expected from 0 up to below 1, got {self.dice_margin}")
