"""The annotated bone seen from four sides, and how far the predicted surface lies from it at every place."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, zoom

Side = Literal["front", "back", "left", "right"]
SIDES: tuple[Side, ...] = ("front", "back", "left", "right")
_STEP_MM = 1.0
_SMOOTHED_VOXELS = 0.7  # takes the stairs off; moves no surface by more than a fraction of a voxel
_MARGIN_VOXELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BoneView:
    """A femur from one side, head up, 1 mm to the pixel.

    Attributes:
        distance_mm: shape (rows, columns): at the surface that is seen, how far the predicted surface lies outside (+)
            or inside (−) of it; NaN beside the bone.
        light: 0 … 1, how much the surface there faces the viewer; NaN beside the bone.
    """

    distance_mm: NDArray[np.float64]
    light: NDArray[np.float64]


def signed_distance_mm(mask: NDArray[np.bool_], spacing_mm_zyx: tuple[float, float, float]) -> NDArray[np.float64]:
    """Distance of voxel centres to the surface of a mask, negative inside, right to half a voxel; shape (Z, Y, X).

    An empty mask has no surface: infinite everywhere.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf)
    half = min(spacing_mm_zyx) / 2
    padded = np.pad(mask, 1)  # a bone that is cut off has a surface at the cut
    outside = distance_transform_edt(~padded, sampling=spacing_mm_zyx)
    inside = distance_transform_edt(padded, sampling=spacing_mm_zyx)
    signed = np.where(padded, half - inside, outside - half)
    return np.asarray(signed[1:-1, 1:-1, 1:-1], dtype=np.float64)


def deepest_error(
    reference: NDArray[np.bool_], predicted: NDArray[np.bool_], spacing_mm_zyx: tuple[float, float, float]
) -> tuple[float, tuple[int, int, int]] | None:
    """The voxel in just one of two masks that lies farthest from the other, and how far in mm; None if they agree."""
    wrong = reference ^ predicted
    if not wrong.any():
        return None
    to_reference, to_predicted = (signed_distance_mm(mask, spacing_mm_zyx) for mask in (reference, predicted))
    depth = np.where(wrong, np.where(reference, to_predicted, to_reference), -np.inf)
    z, y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return float(depth[z, y, x]), (int(z), int(y), int(x))


def bone_views(
    reference: NDArray[np.bool_], predicted: NDArray[np.bool_], spacing_mm_zyx: tuple[float, float, float]
) -> dict[Side, BoneView]:
    """The annotated bone from every side, with the prediction's distances; empty if nothing is annotated.

    Args:
        reference, predicted: femur masks; axes run inferior → superior, anterior → posterior, right → left.
    """
    if not reference.any():
        return {}
    box = tuple(
        slice(max(0, int(at.min()) - _MARGIN_VOXELS), int(at.max()) + 1 + _MARGIN_VOXELS) for at in reference.nonzero()
    )
    bone = _fine(gaussian_filter(signed_distance_mm(reference, spacing_mm_zyx)[box], _SMOOTHED_VOXELS), spacing_mm_zyx)
    beyond = _fine(signed_distance_mm(predicted, spacing_mm_zyx)[box], spacing_mm_zyx)
    towards: dict[Side, tuple[int, bool]] = {
        "front": (1, False),
        "back": (1, True),
        "right": (2, False),
        "left": (2, True),
    }
    return {side: _seen(bone, beyond, *towards[side]) for side in SIDES}


def _fine(field: NDArray[np.float64], spacing_mm_zyx: tuple[float, float, float]) -> NDArray[np.float64]:
    """A field on an even grid of 1 mm."""
    if not np.isfinite(field).all():  # an empty prediction
        shape = [max(1, round(n * s / _STEP_MM)) for n, s in zip(field.shape, spacing_mm_zyx, strict=True)]
        return np.full(shape, np.inf)
    return np.asarray(zoom(field, [s / _STEP_MM for s in spacing_mm_zyx], order=1, grid_mode=True, mode="nearest"))


def _seen(bone: NDArray[np.float64], beyond: NDArray[np.float64], axis: int, from_behind: bool) -> BoneView:
    """The first surface along an axis, a view with the head up."""
    bone, beyond = (np.moveaxis(field, axis, 0)[:: -1 if from_behind else 1] for field in (bone, beyond))
    inside = bone < 0
    hit = inside.any(axis=0)
    depth = np.maximum(inside.argmax(axis=0), 1)
    rows, columns = np.indices(depth.shape)
    before, after = bone[depth - 1, rows, columns], bone[depth, rows, columns]
    crossing = np.clip(before / np.where(before == after, 1.0, before - after), 0.0, 1.0)
    place = np.array([depth - 1 + crossing, rows, columns])
    normal = np.array([map_coordinates(part, place, order=1, mode="nearest") for part in np.gradient(bone)])
    length = np.maximum(np.linalg.norm(normal, axis=0), 1e-9)
    light = np.clip(-normal[0] / length, 0.0, 1.0)
    distance = -_at(beyond, place)
    mirrored = from_behind if axis == 1 else not from_behind  # the patient's right is left of a viewer in front
    flip = (slice(None, None, -1), slice(None, None, -1 if mirrored else 1))
    return BoneView(distance_mm=np.where(hit, distance, np.nan)[flip], light=np.where(hit, light, np.nan)[flip])


def _at(field: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(field).all():
        return np.full(place.shape[1:], np.inf)
    return np.asarray(map_coordinates(field, place, order=1, mode="nearest"))
