"""CT painted around the bones of a label map, by other means and ranges than the ones that a model is trained on.

Written for `benchmarks.shipped.evidence` alone: it shares no code with `femseg.synthetic`, so that a model is not
judged by the hand that taught it. Tissue is plainer than there, bone thickness comes from another rule, and a whole
femur stands on a tibia.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

_AROUND_MM = 45.0  # soft tissue about the bones
_CLOSED_MM = 60.0  # hollows between bones that are narrower than twice this are inside of the body
_BELOW_MM = 60.0  # of tibia below a whole femur
_SHAFT_MM2 = 1000.0  # of a section at most, where a hip shows little shaft
_CORTICAL_INDEX = 0.45
_TIP_MM = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """A CT and its truth, on one grid; slices run from the feet to the head."""

    hu_zyx: Volume
    femur_zyx: Mask
    other_zyx: Mask
    spacing_mm_zyx: tuple[float, float, float]


def painted(
    femur_zyx: Mask, other_zyx: Mask, spacing_mm_zyx: tuple[float, float, float], *, seed: int, whole: bool
) -> Painted:
    """Paint a CT in which these bones lie.

    Args:
        femur_zyx, other_zyx: femora and other bones, index order (z up, y, x).
        seed: of tissue, texture and noise.
        whole: the femur's lower end is shown; it gets a tibia to stand on.
    """
    rng = np.random.default_rng([seed, 14])
    steps = np.array(spacing_mm_zyx)
    around = np.ceil([_BELOW_MM / steps[0] if whole else 0, _AROUND_MM / steps[1], _AROUND_MM / steps[2]]).astype(int)
    before_after = [(around[0], 0), (around[1], around[1]), (around[2], around[2])]
    femur, other = (np.pad(mask, before_after) for mask in (femur_zyx, other_zyx))
    if whole:
        other = other | _tibia(femur, steps)
    bone = femur | other
    hu = _soft_tissue(_depth_mm(bone, steps, rng), steps, rng)
    for mask, rim_mm in ((other, _flat_bone(other, steps)), (femur, _long_bone(femur, steps))):
        hu = _with_bone(hu, mask, rim_mm, steps, rng)
    hu = ndimage.gaussian_filter(hu, rng.uniform(0.5, 0.9) / steps)
    grain = ndimage.gaussian_filter(rng.standard_normal(hu.shape).astype(np.float32), 0.55)
    hu += grain / grain.std() * rng.uniform(10.0, 24.0)
    hu = np.clip(hu, -1024, 3071)
    return Painted(hu_zyx=hu, femur_zyx=femur, other_zyx=other, spacing_mm_zyx=spacing_mm_zyx)


def _tibia(femur: Mask, steps: NDArray[np.float64]) -> Mask:
    """A plateau and a shaft under the condyles, four millimetres below them."""
    lowest = int(np.flatnonzero(femur.any(axis=(1, 2)))[0])
    condyles = femur[lowest : lowest + max(1, round(15 / steps[0]))].any(axis=0)
    y, x = (np.flatnonzero(condyles.any(axis=axis)) for axis in (1, 0))
    middle = np.array([(y[0] + y[-1]) / 2, (x[0] + x[-1]) / 2])
    half_mm = np.array([(y[-1] - y[0]) * steps[1], (x[-1] - x[0]) * steps[2]]) / 2
    z_mm = (np.arange(femur.shape[0])[:, None, None] - lowest) * steps[0] + 4.0
    share = np.clip(-z_mm / 45.0, 0.0, 1.0)  # from the plateau, 0, to the shaft, 1
    radius_mm = (half_mm * 0.92)[:, None, None, None] * (1 - share) + 13.0 * share
    off = [(np.arange(n) - m) * s for n, m, s in zip(femur.shape[1:], middle, steps[1:], strict=True)]
    within = (off[0][None, :, None] / radius_mm[0]) ** 2 + (off[1][None, None, :] / radius_mm[1]) ** 2 < 1
    return np.asarray(within & (z_mm < 0))


def _clouds(shape: tuple[int, ...], size_mm: float, steps: NDArray[np.float64], rng: np.random.Generator) -> Volume:
    """Smooth noise of unit deviation whose blobs have about this size."""
    coarse = rng.standard_normal(np.maximum(2, np.ceil(np.array(shape) * steps / size_mm)).astype(int))
    grown = ndimage.zoom(coarse, np.array(shape) / coarse.shape, order=1).astype(np.float32)
    fitted = grown[: shape[0], : shape[1], : shape[2]]
    return np.asarray(fitted / fitted.std())


def _depth_mm(bone: Mask, steps: NDArray[np.float64], rng: np.random.Generator) -> Volume:
    """How deep below the skin a voxel lies, negative outside: the bones grown, and hollows between them closed."""
    coarse = np.pad(bone[::2, ::2, ::2], 24, mode="edge")
    to_bone = ndimage.distance_transform_edt(~coarse, sampling=2 * steps)
    edge_mm = rng.uniform(30.0, 40.0) + 5.0 * _clouds(coarse.shape, 60.0, 2 * steps, rng)
    inner = ndimage.distance_transform_edt(to_bone < edge_mm + _CLOSED_MM, sampling=2 * steps) - _CLOSED_MM
    fine = ndimage.zoom(
        inner[24:-24, 24:-24, 24:-24].astype(np.float32), np.array(bone.shape) / bone[::2, ::2, ::2].shape, order=1
    )
    return np.asarray(fine, dtype=np.float32)


def _soft_tissue(depth_mm: Volume, steps: NDArray[np.float64], rng: np.random.Generator) -> Volume:
    """Muscle near the bones, fat and skin further out, air beyond; a table under the back."""
    fat_mm = rng.uniform(8.0, 16.0)
    muscle = rng.normal(55.0, 6.0) + 9.0 * _clouds(depth_mm.shape, 6.0, steps, rng)
    seams = _clouds(depth_mm.shape, 16.0, steps, rng) > 1.3
    fat = rng.normal(-102.0, 6.0) + 7.0 * _clouds(depth_mm.shape, 5.0, steps, rng)
    hu = np.where(depth_mm > fat_mm, np.where(seams, fat, muscle), fat)
    hu = np.where(depth_mm < 2.0, 20.0, hu)
    hu = np.where(depth_mm <= 0.0, -1000.0, hu).astype(np.float32)
    hu[:, -max(1, round(4 / steps[1])) :] = rng.uniform(-150.0, 100.0)
    return hu


def _long_bone(femur: Mask, steps: NDArray[np.float64]) -> Volume:
    """Thickness of the cortex in mm by height: thin at both ends, thickest in the shaft.

    There the two cortices together are 0.45 of the bone's width, as in adults; Barnett & Nordin, Clin Radiol 1960.
    """
    shown = np.flatnonzero(femur.any(axis=(1, 2)))
    area_mm2 = femur.sum(axis=(1, 2)) * steps[1] * steps[2]
    shaft_mm2 = min(np.median(area_mm2[shown]), _SHAFT_MM2)
    in_shaft_mm = _CORTICAL_INDEX * np.sqrt(shaft_mm2 / np.pi)
    widest_mm2 = ndimage.maximum_filter1d(area_mm2, max(1, round(_TIP_MM / steps[0])))  # the tip of a head is no shaft
    slender = shaft_mm2 / np.maximum(widest_mm2, 1.0)
    return np.clip(in_shaft_mm * slender**1.5, 0.8, in_shaft_mm).astype(np.float32)[:, None, None]


def _flat_bone(other: Mask, steps: NDArray[np.float64]) -> Volume:
    return np.full((other.shape[0], 1, 1), 1.5, np.float32)


def _with_bone(hu: Volume, mask: Mask, rim_mm: Volume, steps: NDArray[np.float64], rng: np.random.Generator) -> Volume:
    """Cortex about spongiosa, which is denser towards the joint ends where the cortex is thin."""
    depth = ndimage.distance_transform_edt(mask, sampling=steps).astype(np.float32)
    cortex = rng.normal(1250.0, 120.0) + 60.0 * _clouds(hu.shape, 12.0, steps, rng)
    ends = np.clip((2.5 - rim_mm) / 1.7, 0.0, 1.0)
    spongiosa = rng.normal(260.0, 40.0) * ends - 30.0 * (1 - ends)
    spongiosa = spongiosa + (45.0 * ends + 8.0) * _clouds(hu.shape, 3.0, steps, rng)
    share = np.clip((rim_mm - depth) / steps.mean() + 1.0, 0.0, 1.0)
    return np.where(mask, share * cortex + (1 - share) * spongiosa, hu).astype(np.float32)
