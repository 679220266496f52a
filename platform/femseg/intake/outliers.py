"""What the studies of a cohort have in common, and which of them stand apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.intake.preview import HU_EDGES
from femseg.intake.result import OUTLIER, CheckedStudy, Finding
from femseg.volumes.grid import lps_grid

STUDIES_AT_LEAST = 8  # with fewer there is no usual range to stand out from
ROBUST_Z = 3.5
_LEAST_DIFFERENCE = 0.05  # of the median: equipment that agrees to three digits makes the deviation tiny
HU_DISTANCE = "grey values unlike the cohort's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One measure of every study.

    Attributes:
        name, unit: as people say it.
        values: by the study's name; studies that lack it are left out.
        median, low, high: middle of the values, and the range within which they are no outliers.
        outliers: names of the studies outside that range.
    """

    name: str
    unit: str
    values: dict[str, float]
    median: float
    low: float
    high: float
    outliers: tuple[str, ...]


def quantities(studies: Sequence[CheckedStudy]) -> tuple[Quantity, ...]:
    """Measures of all studies whose CT can be placed; those that nobody has are left out."""
    placed = [study for study in studies if study.grid is not None]
    found = []
    for name, unit, measure in _MEASURES:
        known = {study.name: value for study in placed if (value := measure(study)) is not None}
        if known:
            found.append(_quantity(name, unit, known))
    return (*found, *_grey_value_distance(placed))


def outlier_findings(measured: Sequence[Quantity]) -> tuple[Finding, ...]:
    """Every outlier in words."""
    return tuple(_finding(quantity, study) for quantity in measured for study in quantity.outliers)


def hu_shares(study: CheckedStudy) -> NDArray[np.float64]:
    """Share of a study's voxels in each bin of `HU_EDGES`, those outside the body and metal left out."""
    counts = np.array(study.hu_counts, float)[_BODY]
    return np.asarray(counts / max(counts.sum(), 1.0))


_BODY = slice(HU_EDGES.index(-200), HU_EDGES.index(1500))
HU_CENTRES = tuple(edge + 25 for edge in HU_EDGES[:-1][_BODY])


def _edge(axis: int) -> Callable[[CheckedStudy], float | None]:
    return lambda study: lps_grid(study.grid).extent_mm_zyx[axis] if study.grid else None


_MEASURES: tuple[tuple[str, str, Callable[[CheckedStudy], float | None]], ...] = (
    ("slices", "", lambda study: float(study.grid.shape_zyx[0]) if study.grid else None),
    ("slice distance", "mm", lambda study: study.grid.spacing_mm_zyx[0] if study.grid else None),
    ("pixel size", "mm", lambda study: study.grid.spacing_mm_zyx[2] if study.grid else None),
    ("length of the scan", "mm", _edge(0)),
    ("width of the field of view", "mm", _edge(2)),
    ("femur volume", "ml", lambda study: study.facts.femur_ml),
    ("metal", "ml", lambda study: study.facts.metal_ml if study.hu_counts else None),
    ("age", "years", lambda study: None if study.facts.age_years is None else float(study.facts.age_years)),
)


def _quantity(name: str, unit: str, values: dict[str, float], *, one_sided: bool = False) -> Quantity:
    """Outliers by the modified z-score of Iglewicz and Hoaglin (1993): 0.6745 |value - median| / MAD above 3.5.

    Where more than half of the values are equal the MAD is 0; 1.2533 × the mean absolute deviation then stands for it.
    """
    numbers = np.array(list(values.values()))
    median = float(np.median(numbers))
    deviations = np.abs(numbers - median)
    scale = float(np.median(deviations)) / 0.6745 or float(deviations.mean()) * 1.2533
    reach = max(ROBUST_Z * scale, _LEAST_DIFFERENCE * abs(median))
    low, high = (float(numbers.min()) if one_sided else median - reach), median + reach
    apart = [study for study, value in values.items() if not low <= value <= high]
    enough = len(values) >= STUDIES_AT_LEAST
    return Quantity(
        name=name, unit=unit, values=values, median=median, low=low, high=high, outliers=tuple(apart if enough else ())
    )


def _grey_value_distance(studies: Sequence[CheckedStudy]) -> tuple[Quantity, ...]:
    """How much of a study's histogram lies elsewhere than in the cohort's middle one, in percent."""
    seen = [study for study in studies if study.hu_counts]
    if not seen:
        return ()
    shares = np.stack([hu_shares(study) for study in seen])
    usual = np.median(shares, axis=0)
    apart = 50.0 * np.abs(shares - usual / max(usual.sum(), 1e-12)).sum(axis=1)
    values = {study.name: float(percent) for study, percent in zip(seen, apart, strict=True)}
    return (_quantity(HU_DISTANCE, "%", values, one_sided=True),)


def _finding(quantity: Quantity, study: str) -> Finding:
    value, unit = quantity.values[study], f" {quantity.unit}".rstrip()
    if quantity.name == HU_DISTANCE:
        problem = f"its grey values differ from the cohort's by {value:.0f} % (usual: up to {quantity.high:.0f} %)"
        return Finding(id=OUTLIER, study=study, problem=problem, advice="Compare scanner, kernel and contrast medium.")
    far = "far above" if value > quantity.median else "far below"
    problem = f"{quantity.name} {value:.4g}{unit} is {far} the cohort's {quantity.median:.4g}{unit}"
    return Finding(id=OUTLIER, study=study, problem=problem, advice="Look whether it belongs to this cohort.")
