"""From HU or HU per mm to 0…1: each volume by its own values or by a fixed window, never by another case's."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How a volume is brought to 0…1.

    Attributes:
        kind: "min_max" maps the volume's own least and greatest value to 0 and 1 (the paper's);
            "window" maps `low` and `high`, in HU or HU/mm, and clips beyond;
            "percentile" does so with the volume's own percentiles `low` and `high`.
    """

    kind: Literal["min_max", "window", "percentile"] = "min_max"
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("min_max", "window", "percentile"):
            raise ValueError(f"kind: expected 'min_max', 'window' or 'percentile', got {self.kind!r}")
        found = f"got {self.low} and {self.high}"
        if self.kind == "min_max":
            if (self.low, self.high) != (None, None):
                raise ValueError(f"low, high: expected none with kind 'min_max', {found}")
            return
        if self.low is None or self.high is None or not (np.isfinite([self.low, self.high]).all()):
            raise ValueError(f"low, high: expected two numbers with kind {self.kind!r}, {found}")
        if not self.low < self.high:
            raise ValueError(f"low, high: expected low < high, {found}")
        if self.kind == "percentile" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"low, high: expected percentiles within 0 … 100, {found}")


def scaled_to_unit(values: NDArray[np.float32], scaling: Scaling, *, name: str) -> NDArray[np.float32]:
    """Scale one volume to 0…1 by its own values and the setting.

    Args:
        values: finite, of at least one axis.
        name: what to call the volume in a refusal.
    Raises: Refusal (PP-03, exit 3) if no contrast is left: a constant image, or one wholly on one side of the window.
    """
    if scaling.kind == "min_max":
        low, high = float(values.min()), float(values.max())
    elif scaling.kind == "percentile":
        low, high = (float(value) for value in np.percentile(values, [scaling.low, scaling.high]))
    else:
        low, high = float(scaling.low or 0.0), float(scaling.high or 0.0)
    least, greatest = float(values.min()), float(values.max())
    if min(greatest, high) <= max(least, low):
        problem = (
            f"nothing to normalise: values run from {least:g} to {greatest:g}, "
            f"scaling '{scaling.kind}' from {low:g} to {high:g}"
        )
        raise Refusal.of("PP-03", name, problem, "check that the study shows a patient, or widen the scaling")
    return between(values, low, high)


def between(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Scale `low` … `high` to 0…1 and clip what is beyond; of at least one axis."""
    scaled = np.empty(values.shape, np.float32)
    for part, result in zip(values, scaled, strict=True):  # in float64 without a second volume of it
        result[...] = np.clip((part.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return scaled
