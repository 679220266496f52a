"""Reasons to look at a mask before anyone uses it: a plausible-looking wrong mask is the worst that can happen."""

from collections.abc import Iterable

import numpy as np

from femseg.inference.femora import STRUCTURES, Femora
from femseg.networks.package_files import Bounds, ModelDescription, TrainingRange
from femseg.volumes.grid import VoxelGrid, lps_grid, to_lps

_PLAUSIBLE_ML = (50.0, 1500.0)
_LARGE_PIECE_ML = 5.0
_SLACK = 0.1  # beyond what training saw, as a fraction of it
_AXES = ("z", "y", "x")


def training_range(grids: Iterable[VoxelGrid]) -> TrainingRange:
    """What a model was trained on, as least and greatest value by axis (z, y, x): goes into its package."""
    upright = [lps_grid(grid) for grid in grids]

    def bounds(rows: list[tuple[float, float, float]]) -> Bounds:
        least, most = np.min(rows, axis=0).tolist(), np.max(rows, axis=0).tolist()
        return tuple(least), tuple(most)

    return TrainingRange(
        spacing_mm_zyx=bounds([grid.spacing_mm_zyx for grid in upright]),
        extent_mm_zyx=bounds([grid.extent_mm_zyx for grid in upright]),
    )


def outside_training(grid: VoxelGrid, seen: TrainingRange) -> tuple[str, ...]:
    """How a CT differs from what the model was trained on (IF-04), one sentence each."""
    upright, found = lps_grid(grid), []
    for name, words in (("spacing_mm_zyx", "spacing"), ("extent_mm_zyx", "field of view")):
        least, most = getattr(seen, name)
        for axis, value, low, high in zip(_AXES, getattr(upright, name), least, most, strict=True):
            if not low * (1 - _SLACK) <= value <= high * (1 + _SLACK):
                seen_mm = " to ".join(dict.fromkeys((f"{low:.3g}", f"{high:.3g}")))  # one number where all were alike
                found.append(f"IF-04 {words} along {axis} is {value:.3g} mm, trained on {seen_mm} mm")
    return tuple(found)


def reasons_to_review(femora: Femora) -> tuple[str, ...]:
    """What a femur should not be (IF-09): empty, too small or large, in pieces, at the edge."""
    labels_zyx, _ = to_lps(femora.labels.labels_zyx, femora.labels.grid)
    if not femora.by_side:
        return ("IF-09 the mask is empty",)
    reasons = []
    low, high = _PLAUSIBLE_ML
    for side, femur in femora.by_side.items():
        name = STRUCTURES[side].name
        if not low <= femur.volume_ml <= high:
            reasons.append(f"IF-09 the {name} is {femur.volume_ml:.0f} ml, a femur is {low:.0f} to {high:.0f} ml")
        pieces = sum(ml >= _LARGE_PIECE_ML for ml in femur.pieces_ml)
        if pieces > 1:
            reasons.append(f"IF-09 the {name} has {pieces} pieces of {_LARGE_PIECE_ML:.0f} ml or more")
    for axis, (first, last) in enumerate((("inferior", "superior"), ("anterior", "posterior"), ("right", "left"))):
        for end, index in ((first, 0), (last, -1)):
            if labels_zyx.take(index, axis=axis).any():
                reasons.append(f"IF-09 the mask touches the {end} end of the volume")
    return tuple(reasons)


def verdict(femora: Femora, model: ModelDescription) -> tuple[str, ...]:
    """All reasons to review what a packaged model found, doubts about left and right among them; none: "usable"."""
    seen = model.training_range
    beyond = outside_training(femora.labels.grid, seen) if seen else ()
    return (*beyond, *reasons_to_review(femora), *femora.doubts)
