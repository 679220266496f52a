"""The one way from a CT to what the network sees, the same in training and in inference."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Refusal
from femseg.volumes.gradient import gradient_magnitude_where
from femseg.volumes.grid import (
    CtVolume,
    IndicesZyx,
    MaskVolume,
    Triple,
    VoxelGrid,
    lps_grid,
    to_lps,
    voxels_where_crossing,
)
from femseg.volumes.intensity import Scaling, between, scaled_to_unit
from femseg.volumes.resample import Box, resampled

InputMode = Literal["raw", "gradient", "both"]
Channel = Literal["raw", "gradient"]
GradientOf = Literal["ct", "resampled"]

_REMARKED_VOLUME_CHANGE = 0.05
_REFUSED_VOLUME_CHANGE = 0.15
_TIE_SHIFT_VOXELS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecipe:
    """All that is settled between a CT and the network's input; travels with the model.

    Attributes:
        input_mode: "raw" the CT, "gradient" its gradient magnitude, "both" these two as channels.
        shape_zyx: the network grid's voxels; it fills the same box as the CT, edge to edge.
        spacing_mm_zyx: instead of `shape_zyx`, how far apart its voxels lie: as many as come nearest to that. Then a
            scan of any field of view looks alike, so scaling must not depend on the field of view either: windows only.
        anti_aliasing: smooth before down-sampling (the paper does not).
        raw_scaling: from HU to 0…1.
        gradient_scaling: from HU/mm to 0…1.
        gradient_of: the "ct" at its own resolution, as in the paper; or the "resampled" one on the network grid, so
            that the gradient does not depend on how fine a scan is, and painted images have the same.
    """

    input_mode: InputMode
    shape_zyx: tuple[int, int, int] | None = None
    spacing_mm_zyx: Triple | None = None
    anti_aliasing: bool = False
    raw_scaling: Scaling = field(default_factory=Scaling)
    gradient_scaling: Scaling = field(default_factory=Scaling)
    gradient_of: GradientOf = "ct"

    def __post_init__(self) -> None:
        if self.input_mode not in ("raw", "gradient", "both"):
            raise ValueError(f"input_mode: expected 'raw', 'gradient' or 'both', got {self.input_mode!r}")
        if self.gradient_of not in ("ct", "resampled"):
            raise ValueError(f"gradient_of: expected 'ct' or 'resampled', got {self.gradient_of!r}")
        if (self.shape_zyx is None) == (self.spacing_mm_zyx is None):
            raise ValueError(
                f"shape_zyx, spacing_mm_zyx: expected one of them, got {self.shape_zyx} and {self.spacing_mm_zyx}"
            )
        if self.shape_zyx is not None and min(self.shape_zyx) < 1:
            raise ValueError(f"shape_zyx: expected three sizes of at least 1, got {self.shape_zyx}")
        if self.spacing_mm_zyx is not None:
            if not all(math.isfinite(s) and s > 0 for s in self.spacing_mm_zyx):
                raise ValueError(f"spacing_mm_zyx: expected three positive lengths, got {self.spacing_mm_zyx}")
            used = {"raw": self.raw_scaling, "gradient": self.gradient_scaling}
            if unfit := [c for c in self.channels if used[c].kind != "window"]:
                raise ValueError(
                    f"{unfit[0]}_scaling: expected kind 'window' with spacing_mm_zyx, as a patch does not see the "
                    f"whole scan, got {used[unfit[0]].kind!r}"
                )

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What the channels of the network's input show, in order."""
        return ("raw", "gradient") if self.input_mode == "both" else (self.input_mode,)

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        """Of the network's input. At a fixed spacing float16: half of the disk, and finer than a CT's noise."""
        return np.dtype(np.float16 if self.spacing_mm_zyx else np.float32)


def network_grid(grid: VoxelGrid, recipe: InputRecipe) -> VoxelGrid:
    """Where the network's voxels lie: the CT's box, axes as in `to_lps`, in the recipe's number of voxels."""
    upright = lps_grid(grid)
    spacing = recipe.spacing_mm_zyx
    return upright.resized(recipe.shape_zyx if spacing is None else _shape_at(upright, spacing))  # type: ignore[arg-type]  # one of the two


def _shape_at(grid: VoxelGrid, spacing_mm_zyx: Triple) -> tuple[int, int, int]:
    z, y, x = (max(1, round(e / s)) for e, s in zip(grid.extent_mm_zyx, spacing_mm_zyx, strict=True))
    return (z, y, x)


def channel(
    ct: CtVolume, recipe: InputRecipe, mode: Channel, *, box_zyx: Box | None = None, name: str = "CT"
) -> NDArray[np.floating[Any]]:
    """One channel of the network's input.

    The gradient is taken at the CT's own resolution, before resampling, unless the recipe takes it of what was
    resampled; the CT is read slab by slab and no second volume of its size is made.

    Args:
        ct: any orientation.
        mode: which channel; need not be one of the recipe's own.
        box_zyx: the part of the network grid that is wanted, with `spacing_mm_zyx` only.
        name: the case, for refusals.
    Returns: values in 0…1 of the recipe's type on `network_grid(ct.grid, recipe)`, shape (Z, Y, X), or the box of it.
    Raises: Refusal (exit 3) on a non-finite voxel (PP-02), of a box only among those that it is made of, or a whole
        scan without contrast (PP-03).
    """
    if box_zyx and not recipe.spacing_mm_zyx:
        raise ValueError("box_zyx: a part of a scan is scaled as the whole only where the recipe gives a spacing")
    if not box_zyx:
        _require_finite_hu(ct, name)
    return _channel(ct, recipe, mode, box_zyx, name)


def _require_finite_hu(ct: CtVolume, name: str) -> None:
    """Also where no weight falls: whether a CT is sound does not depend on the grid."""
    for slice_yx in ct.hu_zyx:
        _finite(slice_yx, name=name, step="reading")


def _channel(
    ct: CtVolume, recipe: InputRecipe, mode: Channel, box_zyx: Box | None, name: str
) -> NDArray[np.floating[Any]]:
    hu_zyx, grid = to_lps(ct.hu_zyx, ct.grid)

    def voxels_where(indices_zyx: IndicesZyx) -> NDArray[np.float32]:
        if mode == "raw" or recipe.gradient_of == "resampled":
            return voxels_where_crossing(hu_zyx, indices_zyx)
        return _finite(gradient_magnitude_where(hu_zyx, grid, indices_zyx), name=name, step="gradient")

    onto = network_grid(ct.grid, recipe)

    def values_in(box_zyx: Box | None) -> NDArray[np.float32]:
        return resampled(
            voxels_where, grid.shape_zyx, onto.shape_zyx, anti_aliasing=recipe.anti_aliasing, box_zyx=box_zyx
        )

    if mode == "gradient" and recipe.gradient_of == "resampled":
        values = _gradient_in(values_in, onto, box_zyx)
    else:
        values = values_in(box_zyx)
    _finite(values, name=name, step="resampling")
    scaling = recipe.raw_scaling if mode == "raw" else recipe.gradient_scaling
    if box_zyx:  # scaled by a window, as the whole; that there is one tissue in it is no fault of the scan
        scaled = between(values, scaling.low or 0.0, scaling.high or 0.0)
    else:
        scaled = scaled_to_unit(values, scaling, name=name)
    return _finite(scaled, name=name, step="scaling").astype(recipe.dtype, copy=False)


def _gradient_in(
    values_in: Callable[[Box | None], NDArray[np.float32]], grid: VoxelGrid, box_zyx: Box | None
) -> NDArray[np.float32]:
    """The gradient of what was resampled, in a box; what it holds there does not depend on the box."""
    wanted = [np.arange(n)[part] for n, part in zip(grid.shape_zyx, box_zyx or (slice(None),) * 3, strict=True)]
    z, y, x = (slice(max(int(at[0]) - 1, 0), int(at[-1]) + 2) for at in wanted)
    hu_zyx = values_in((z, y, x))
    at_z, at_y, at_x = (at - around.start for at, around in zip(wanted, (z, y, x), strict=True))
    return gradient_magnitude_where(hu_zyx, replace(grid, shape_zyx=hu_zyx.shape), (at_z, at_y, at_x))


def painted_input(
    hu_zyx: NDArray[np.float32], spacing_mm_zyx: Triple, recipe: InputRecipe
) -> NDArray[np.floating[Any]]:
    """What the network would see of a CT whose voxels lie on its grid already, such as a box of a painted one.

    Args:
        hu_zyx: HU, shape (Z, Y, X).
        spacing_mm_zyx: of these voxels.
        recipe: one with a spacing, of windows alone, that takes the gradient of what was resampled.
    Returns: as `network_input`, but a box without contrast is no reason to refuse it.
    Raises: ValueError on another recipe.
    """
    refuse_recipe_of_painted(recipe)
    grid = VoxelGrid(shape_zyx=hu_zyx.shape, spacing_mm_zyx=spacing_mm_zyx)
    z, y, x = (np.arange(n) for n in hu_zyx.shape)
    channels = []
    for mode in recipe.channels:
        scaling = recipe.raw_scaling if mode == "raw" else recipe.gradient_scaling
        values = hu_zyx if mode == "raw" else gradient_magnitude_where(hu_zyx, grid, (z, y, x))
        channels.append(between(values, scaling.low or 0.0, scaling.high or 0.0).astype(recipe.dtype, copy=False))
    return np.stack(channels)


def refuse_recipe_of_painted(recipe: InputRecipe) -> None:
    """Raises: ValueError if training could not paint what this recipe makes of a CT."""
    if recipe.spacing_mm_zyx is None:
        raise ValueError("arrays.spacing_mm_zyx: expected a spacing, as synthetic cases are painted in patches")
    if "gradient" in recipe.channels and recipe.gradient_of != "resampled":
        raise ValueError(
            "arrays.gradient_of: expected 'resampled', as synthetic cases are painted on the network grid, "
            f"got {recipe.gradient_of!r}"
        )


def network_input(
    ct: CtVolume, recipe: InputRecipe, *, box_zyx: Box | None = None, name: str = "CT"
) -> NDArray[np.floating[Any]]:
    """All channels of the recipe, shape (C, Z, Y, X). Args and Raises: as `channel`."""
    first, *others = recipe.channels  # the scan is looked through once
    channels = [channel(ct, recipe, first, box_zyx=box_zyx, name=name)]
    return np.stack([*channels, *(_channel(ct, recipe, mode, box_zyx, name) for mode in others)])


def sampled_mask(mask: MaskVolume, recipe: InputRecipe) -> NDArray[np.bool_]:
    """A mask where the network's voxels lie: interpolated as 0 and 1, cut at 0.5; shape (Z, Y, X).

    Never anti-aliased: smoothing before the cut rounds a femur off (measured: 1 to 3 % of volume lost, at every shift
    of the grid), while sampling is right on average. Down-sampling by an even factor puts sample centres exactly on
    faces between voxels, where interpolation gives 0.5: counting all of these in gains 2 to 4 % of volume, leaving all
    out loses as much. Centres are therefore shifted by a millionth of a voxel: of two opposite faces one counts.
    """
    femur_zyx, grid = to_lps(mask.femur_zyx, mask.grid)
    share = resampled(
        lambda indices_zyx: voxels_where_crossing(femur_zyx, indices_zyx).astype(np.float32),
        grid.shape_zyx,
        network_grid(mask.grid, recipe).shape_zyx,
        anti_aliasing=False,
        shift=_TIE_SHIFT_VOXELS,
    )
    return np.asarray(share >= 0.5)


def mask_on_network_grid(mask: MaskVolume, recipe: InputRecipe, *, name: str = "mask") -> NDArray[np.bool_]:
    """The reference mask as the network's target: sampled, and refused if the grid is too coarse for it.

    Args:
        mask: any orientation, on the CT's grid.
        name: the case, for refusals.
    Returns: shape (Z, Y, X) on `network_grid(mask.grid, recipe)`.
    Raises: Refusal (PP-04, exit 3) if the volume changes by more than 15 %.
    """
    on_network_grid = sampled_mask(mask, recipe)
    change = _volume_change(mask, on_network_grid)
    if abs(change) > _REFUSED_VOLUME_CHANGE:
        problem = (
            f"the femur's volume changes by {change:+.1%} on the network grid {on_network_grid.shape}, "
            f"expected at most {_REFUSED_VOLUME_CHANGE:.0%}"
        )
        raise Refusal.of("PP-04", name, problem, "choose a finer network grid or crop the study to the leg")
    return on_network_grid


def mask_remarks(mask: MaskVolume, on_network_grid: NDArray[np.bool_]) -> tuple[str, ...]:
    """What to remark about a mask that was resampled: a volume change above 5 % (PP-04)."""
    change = _volume_change(mask, on_network_grid)
    remark = f"PP-04: femur volume {change:+.1%} on the network grid"
    return (remark,) if abs(change) > _REMARKED_VOLUME_CHANGE else ()


def _volume_change(mask: MaskVolume, on_network_grid: NDArray[np.bool_]) -> float:
    before = np.count_nonzero(mask.femur_zyx) / mask.femur_zyx.size  # both grids fill the same box
    after = np.count_nonzero(on_network_grid) / on_network_grid.size
    return after / before - 1.0 if before else 0.0


def _finite(values: NDArray[np.float32], *, name: str, step: str) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        problem = f"{np.count_nonzero(~np.isfinite(values))} non-finite voxels after {step}"
        raise Refusal.of("PP-02", name, problem, "export the study again; a CT holds numbers only")
    return values
