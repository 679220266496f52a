"""How a CT differs from those that a model was trained on."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from femseg.networks.package_files import Bounds, ModelDescription, TrainingRange
from femseg.volumes.grid import Triple, VoxelGrid, lps_grid

_SLACK = 0.1  # beyond what training saw, as a fraction of it
_AXES = ("z", "y", "x")


def training_range(grids: Iterable[VoxelGrid]) -> TrainingRange:
    """What a model was trained on, as least and greatest value by axis (z, y, x): goes into its package."""
    upright = [lps_grid(grid) for grid in grids]

    def bounds(rows: list[Triple]) -> Bounds:
        least, most = np.min(rows, axis=0).tolist(), np.max(rows, axis=0).tolist()
        return tuple(least), tuple(most)

    return TrainingRange(
        spacing_mm_zyx=bounds([grid.spacing_mm_zyx for grid in upright]),
        extent_mm_zyx=bounds([grid.extent_mm_zyx for grid in upright]),
    )


def outside_training(grid: VoxelGrid, model: ModelDescription) -> tuple[str, ...]:
    """How a CT differs from what the model was trained on (IF-04), one sentence each.

    A network that sees windows at one spacing never sees how much finer a CT is, nor how far a scan goes on.
    """
    seen = model.training_range
    if seen is None:
        return ()
    recipe, windows = model.input_recipe, model.windows
    finest = model.finest.input_recipe.spacing_mm_zyx or (0.0, 0.0, 0.0)
    widest = [np.inf, np.inf, np.inf]
    if windows and recipe.spacing_mm_zyx:
        widest = [size * mm for size, mm in zip(windows.shape_zyx, recipe.spacing_mm_zyx, strict=True)]
    upright = lps_grid(grid)
    return (
        *_outside("spacing", upright.spacing_mm_zyx, seen.spacing_mm_zyx, at_least=finest),
        *_outside("field of view", upright.extent_mm_zyx, seen.extent_mm_zyx, at_most=widest),
    )


def _outside(
    words: str,
    values_zyx: Sequence[float],
    seen_zyx: Bounds,
    *,
    at_least: Sequence[float] = (0.0, 0.0, 0.0),
    at_most: Sequence[float] = (np.inf, np.inf, np.inf),
) -> Iterator[str]:
    for axis, value, *seen, least, most in zip(_AXES, values_zyx, *seen_zyx, at_least, at_most, strict=True):
        shown, low, high = (min(max(mm, least), most) for mm in (value, *seen))
        if not low * (1 - _SLACK) <= shown <= high * (1 + _SLACK):
            seen_mm = " to ".join(dict.fromkeys(f"{mm:.3g}" for mm in seen))  # one number where all were alike
            yield f"IF-04 {words} along {axis} is {value:.3g} mm, trained on {seen_mm} mm"
