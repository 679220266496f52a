"""The `compare:` section of params.yaml."""

from dataclasses import dataclass

from femseg.comparison.threshold_baseline import DEFAULT_THRESHOLD_HU


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """How input modes are compared.

    Attributes:
        cohort_name: heading of the report.
        threshold_hu: of the plain threshold beside the models.
        confidence: of the bootstrap intervals.
        resamples: bootstrap resamples.
        seed: of the resampling.
    """

    cohort_name: str = "Phantom cohort"
    threshold_hu: float = DEFAULT_THRESHOLD_HU
    confidence: float = 0.95
    resamples: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1.0:
            raise ValueError(f"confidence: expected from 0.5 up to below 1, got {self.confidence}")
        if self.resamples < 100:
            raise ValueError(f"resamples: expected at least 100, got {self.resamples}")
