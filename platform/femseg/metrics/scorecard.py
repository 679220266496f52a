"""The scores of every case, and what they come to."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from femseg.errors import Refusal
from femseg.files.durable import write_bytes_durably
from femseg.metrics.definitions import METRICS
from femseg.metrics.masks import Mask, MaskPair
from femseg.metrics.overlap import MM3_PER_ML, Overlap
from femseg.metrics.surface_distance import average_hausdorff_of, surface_dice_of, surface_distances_of

Grid = Literal["network", "native"]
GRIDS: tuple[Grid, ...] = get_args(Grid)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScore:
    """How well one predicted femur matches its annotation, on one grid. Field order is the CSV's column order.

    Attributes:
        case_id: the case as the manifest names it.
        grid: where it was measured: "network" (the network's input grid) or "native" (the CT's own).
        dice, iou, surface_dice_1mm, surface_dice_2mm, volume_similarity: 0…1.
        sensitivity, precision: 0…1; None if the annotated or the predicted mask is empty.
        average_hausdorff_mm, average_surface_distance_mm, hausdorff_mm, hausdorff_95_mm: None if either mask is empty.
        volume_difference_ml: predicted less annotated volume.
        reference_volume_ml, predicted_volume_ml: volumes of the annotated and the predicted femur.
    """

    case_id: str
    grid: Grid
    dice: float
    iou: float
    sensitivity: float | None
    precision: float | None
    average_hausdorff_mm: float | None
    average_surface_distance_mm: float | None
    hausdorff_mm: float | None
    hausdorff_95_mm: float | None
    surface_dice_1mm: float
    surface_dice_2mm: float
    volume_similarity: float
    volume_difference_ml: float
    reference_volume_ml: float
    predicted_volume_ml: float

    def __post_init__(self) -> None:
        if self.grid not in GRIDS:
            raise ValueError(f"grid: expected one of {GRIDS}, got {self.grid!r}")
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is None and name not in _MAY_BE_UNDEFINED:
                raise ValueError(f"{name}: expected a number, got none (case {self.case_id})")
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number or None, got {value} (case {self.case_id})")


_COLUMNS = tuple(field.name for field in fields(CaseScore))
_NUMBERS = _COLUMNS[2:]
_MAY_BE_UNDEFINED = (
    "sensitivity",
    "precision",
    "average_hausdorff_mm",
    "average_surface_distance_mm",
    "hausdorff_mm",
    "hausdorff_95_mm",
)


def score(reference: Mask, predicted: Mask, spacing_mm_zyx: Sequence[float], *, case_id: str, grid: Grid) -> CaseScore:
    """Every metric of one case.

    Args:
        reference: annotated femur, bool, shape (Z, Y, X).
        predicted: predicted femur, same shape.
        spacing_mm_zyx: distance of neighbouring voxels along (z, y, x) of the grid that both masks are on.
        case_id: names the row.
        grid: says which grid that is.
    Raises: ValueError if a mask is not bool, the shapes differ, or the spacing is not three positive lengths.
    """
    pair = MaskPair.of(reference, predicted, spacing_mm_zyx)
    voxel_ml = math.prod(pair.spacing_mm_zyx) / MM3_PER_ML
    overlap = Overlap.of(pair.reference, pair.predicted)
    surfaces = surface_distances_of(pair)
    return CaseScore(
        case_id=case_id,
        grid=grid,
        dice=overlap.dice,
        iou=overlap.iou,
        sensitivity=overlap.sensitivity,
        precision=overlap.precision,
        average_hausdorff_mm=average_hausdorff_of(pair),
        average_surface_distance_mm=surfaces.average_mm if surfaces else None,
        hausdorff_mm=surfaces.hausdorff_mm if surfaces else None,
        hausdorff_95_mm=surfaces.hausdorff_95_mm if surfaces else None,
        surface_dice_1mm=surface_dice_of(surfaces, pair, tolerance_mm=1.0),
        surface_dice_2mm=surface_dice_of(surfaces, pair, tolerance_mm=2.0),
        volume_similarity=overlap.volume_similarity,
        volume_difference_ml=(overlap.predicted - overlap.reference) * voxel_ml,
        reference_volume_ml=overlap.reference * voxel_ml,
        predicted_volume_ml=overlap.predicted * voxel_ml,
    )


def summary(scores: Iterable[CaseScore]) -> dict[str, dict[str, dict[str, Any]]]:
    """Mean and standard deviation of each metric on each grid, as JSON values.

    Returns: grid → metric → `mean` (None without any value), `standard_deviation` (of the sample, n − 1; None below two
        values), `n` (cases with a value) and `undefined` (cases without one: a mean over the rest flatters the model).
    Raises: ValueError if a case stands twice on one grid.
    """
    by_grid: dict[str, list[CaseScore]] = {}
    for one in scores:
        by_grid.setdefault(one.grid, []).append(one)
    for grid, rows in by_grid.items():
        ids = [row.case_id for row in rows]
        if len(set(ids)) != len(ids):
            raise ValueError(f"scores on the {grid} grid: a case stands there twice among {sorted(ids)}")
    return {
        grid: {metric.name: _of_values([getattr(row, metric.name) for row in by_grid[grid]]) for metric in METRICS}
        for grid in GRIDS
        if grid in by_grid
    }


HEADLINE: Mapping[Grid, tuple[str, ...]] = {  # what dvc and MLflow list of a model: the rest is in CSV and JSON
    "network": ("dice",),
    "native": ("dice", "average_surface_distance_mm", "hausdorff_95_mm", "surface_dice_2mm"),
}


def headline_means(statistics: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float | None]]:
    """The few means of a `summary` by which models are told apart at a glance: grid → metric → mean."""
    return {
        grid: {name: statistics[grid][name]["mean"] for name in names}
        for grid, names in HEADLINE.items()
        if grid in statistics
    }


def _of_values(values: Sequence[float | None]) -> dict[str, Any]:
    defined = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(defined)) if defined else None,
        "standard_deviation": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "n": len(defined),
        "undefined": len(values) - len(defined),
    }


def write_scores(path: Path, scores: Iterable[CaseScore]) -> str:
    """Write the scorecard as CSV, ordered by grid and case; an undefined value is an empty cell.

    Returns: SHA-256 of the file. The same scores give the same bytes, and floats survive the round trip exactly.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for row in sorted(scores, key=lambda one: (GRIDS.index(one.grid), one.case_id)):
        cells = [getattr(row, name) for name in _COLUMNS]
        table.writerow(["" if cell is None else cell if isinstance(cell, str) else repr(float(cell)) for cell in cells])
    return write_bytes_durably(path, text.getvalue().encode())


def read_scores(path: Path) -> tuple[CaseScore, ...]:
    """Read what `write_scores` wrote. Raises: Refusal (exit 4) that names the file and line it cannot read."""
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        problem = "is missing" if isinstance(error, FileNotFoundError) else f"is no readable CSV ({error})"
        raise _wrong(path, problem) from error
    if lines and set(lines[0]) < set(_COLUMNS):
        lacking = ", ".join(name for name in _COLUMNS if name not in lines[0])
        raise _wrong(path, f"is a scorecard of an earlier version, without {lacking}")
    if not lines or tuple(lines[0]) != _COLUMNS:
        raise _wrong(path, f"expected columns {', '.join(_COLUMNS)}; found {lines[:1]}")
    return tuple(_row_read(path, number, cells) for number, cells in enumerate(lines[1:], start=2))


def _row_read(path: Path, number: int, cells: Sequence[str]) -> CaseScore:
    try:
        row: dict[str, Any] = dict(zip(_COLUMNS, cells, strict=True))
        return CaseScore(**row | {name: float(row[name]) if row[name] else None for name in _NUMBERS})
    except ValueError as error:
        raise _wrong(path, f"line {number} is no score ({error})") from error


def _wrong(path: Path, problem: str) -> Refusal:
    return Refusal.of("ST-02", path, problem, "run the `evaluate` stage again (`dvc repro`), or `dvc pull`")
