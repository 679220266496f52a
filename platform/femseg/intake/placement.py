"""Does a mask fit its CT better somewhere else? Moved by a few millimetres, or mirrored (IN-21).

A femur's surface is where CT numbers fall from the inside to the outside. How steeply they fall across a mask's
surface, on average, tells how well it lies; the same is asked of the mask moved and mirrored. A mask that lies right
fits best where it is, however roughly it was drawn: where it lies, the surface may also run up to 4 mm farther in
or out all round.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Fault
from femseg.volumes.grid import VoxelGrid

REFUSED_BELOW = 0.5  # of the fit elsewhere: measured in docs/explanation/where-a-mask-lies.md
REMARKED_BELOW = 0.85
REMARKED_BELOW_ALONG_AN_AXIS = 0.6
FITS_FROM_HU = 60.0  # a fit that is worth comparing with: bone of a poor contrast still has 78
MOVED_FROM_MM = 2.5
REACH_MM = 12.0
_ACROSS_MM = 2.5  # looked at so far inside and outside of the surface
_ROUGHLY_MM = (-4.0, -2.0, 0.0, 2.0, 4.0)  # by so much may a mask be too small or too large all round
_STRIDE_MM = 3.0
_LINES_MM = 2.0
_MIRRORED_REACH_MM = 3.0
_CLIPPED_HU = (-200.0, 400.0)  # from fat to bone: neither air nor metal shall decide
_FACES_COARSE, _FACES_FINE = 200, 1500  # for each axis
_WORDS = (("left", "right"), ("posterior", "anterior"), ("superior", "inferior"))
_MIRRORS = ("left to right", "front to back", "upside down")

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BetterPlace:
    """Where a mask fits better than where it lies.

    Attributes:
        fit_hu: mean fall of CT numbers across the mask's surface where it lies.
        better_hu: the same where it fits better.
        words: where that is, "3.6 mm to the left" or "mirrored upside down".
        certain: the whole surface says so, not a part of it.
    """

    fit_hu: float
    better_hu: float
    words: str
    certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mirror:
    """A mirroring along some index axes; an index and its image add up to twice the centre."""

    axes: tuple[int, ...] = ()
    twice_centre: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surface:
    """Faces between voxels of the mask and of the background: the voxels looked at on both sides, and each face's area.

    Attributes:
        inside_zyx, outside_zyx: voxel indices, shape (3, n).
        weights: the faces' shares of the surface, shape (n,).
    """

    inside_zyx: Ints
    outside_zyx: Ints
    weights: NDArray[np.float64]

    def across(self, axis: int) -> "_Surface | None":
        """The faces across one axis alone, whose fit tells most of a shift along it; None if there are too few."""
        chosen = self.inside_zyx[axis] != self.outside_zyx[axis]
        if np.count_nonzero(chosen) < _FACES_COARSE:
            return None
        weights = self.weights[chosen]
        return _Surface(
            inside_zyx=self.inside_zyx[:, chosen],
            outside_zyx=self.outside_zyx[:, chosen],
            weights=weights / weights.sum(),
        )

    def mirrored(self, mirror: "_Mirror") -> "_Surface":
        """The same surface mirrored in index space."""
        inside, outside = self.inside_zyx.copy(), self.outside_zyx.copy()
        for axis in mirror.axes:
            inside[axis] = mirror.twice_centre[axis] - inside[axis]
            outside[axis] = mirror.twice_centre[axis] - outside[axis]
        return _Surface(inside_zyx=inside, outside_zyx=outside, weights=self.weights)

    def fit_hu(self, ct_hu_zyx: NDArray[np.float32], shift: Ints) -> float:
        """Mean fall of clipped CT numbers from inside to outside; faces moved out of the volume count as no fall."""
        shape = np.array(ct_hu_zyx.shape)[:, None]
        inside, outside = self.inside_zyx + shift[:, None], self.outside_zyx + shift[:, None]
        there = ((inside >= 0) & (inside < shape) & (outside >= 0) & (outside < shape)).all(axis=0)
        inner, outer = (ct_hu_zyx[tuple(side[:, there])].clip(*_CLIPPED_HU) for side in (inside, outside))
        return float(np.dot(inner - outer, self.weights[there]))


def better_place(
    ct_hu_zyx: NDArray[np.float32], mask_zyx: NDArray[np.bool_], grid: VoxelGrid, box_zyx: tuple[slice, slice, slice]
) -> BetterPlace | None:
    """The place where a mask fits clearly better than where it lies, up to 12 mm away or mirrored, if there is one.

    Args:
        ct_hu_zyx: CT in HU, shape (Z, Y, X).
        mask_zyx: of the same shape.
        grid: of both.
        box_zyx: any box that holds the whole mask.
    """
    faces = _faces(mask_zyx, grid, box_zyx)
    if not faces:
        return None
    coarse, fine = _surface(faces, grid, _FACES_COARSE), _surface(faces, grid, _FACES_FINE)
    rough = [_surface(faces, grid, _FACES_FINE, outward_mm=mm) for mm in _ROUGHLY_MM]
    found = [(*_best(ct_hu_zyx, coarse, fine, grid, REACH_MM), _Mirror())]
    for mirror in _mirrors(mask_zyx.shape, box_zyx):
        images = coarse.mirrored(mirror), fine.mirrored(mirror)
        found.append((*_best(ct_hu_zyx, *images, grid, _MIRRORED_REACH_MM), mirror))
    _, shift, mirror = max(found, key=lambda place: place[0])
    fit = _roughly(ct_hu_zyx, rough, np.zeros(3, np.int64))
    better = _roughly(ct_hu_zyx, [surface.mirrored(mirror) for surface in rough], shift)
    if better >= FITS_FROM_HU and fit < REMARKED_BELOW * better:
        words = _mirror_words(mirror.axes, grid) if mirror.axes else _shift_words(shift, grid)
        return BetterPlace(fit_hu=fit, better_hu=better, words=words)
    return _better_along_an_axis(ct_hu_zyx, fine, rough, grid)


def placement_findings(place: BetterPlace | None, file: str) -> tuple[list[Fault], list[str]]:
    """IN-21: a fault where the mask fits twice as well elsewhere, a remark where it fits somewhat better."""
    if place is None:
        return [], []
    fits = f"CT numbers fall by {place.fit_hu:.0f} HU across its surface, by {place.better_hu:.0f} HU there"
    if not place.certain or place.fit_hu >= REFUSED_BELOW * place.better_hu:
        return [], [f"IN-21: the mask may be misplaced: it fits better {place.words} ({fits})"]
    problem = f"the mask fits far better {place.words}: {fits}"
    fix = "correct the mask's position or orientation, or take the CT that it was drawn on"
    return [Fault("IN-21", file, problem, fix)], []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Faces:
    """Faces of a mask across one axis.

    Attributes:
        low_zyx: the voxel below each face, shape (3, n).
        signs: +1 where the mask begins above the face, -1 where it ends.
        area_mm2: of all faces together, up to a factor that all axes share.
    """

    axis: int
    low_zyx: Ints
    signs: Ints
    area_mm2: float


def _faces(mask_zyx: NDArray[np.bool_], grid: VoxelGrid, box_zyx: tuple[slice, slice, slice]) -> list[_Faces]:
    """Faces between mask and background on lines about 2 mm apart; the volume's own border is no surface of a femur."""
    spacing = np.array(grid.spacing_mm_zyx)
    found = []
    for axis in range(3):
        steps = [1 if k == axis else max(1, int(_LINES_MM / spacing[k])) for k in range(3)]
        first = [max(0, part.start - 1) for part in box_zyx]
        part = tuple(slice(f, p.stop + 1, step) for f, p, step in zip(first, box_zyx, steps, strict=True))
        change = np.diff(mask_zyx[part].view(np.int8), axis=axis)
        at = np.flatnonzero(change)
        if not at.size:
            continue
        at = at[np.linspace(0, at.size - 1, min(_FACES_FINE, at.size)).astype(np.intp)]
        low = np.stack(np.unravel_index(at, change.shape)) * np.array(steps)[:, None] + np.array(first)[:, None]
        area = float(np.prod(spacing) / spacing[axis] * np.prod(steps)) * np.count_nonzero(change)
        found.append(_Faces(axis=axis, low_zyx=low, signs=change.reshape(-1)[at].astype(np.int64), area_mm2=area))
    return found


def _surface(faces: Sequence[_Faces], grid: VoxelGrid, at_most: int, outward_mm: float = 0.0) -> _Surface:
    """The voxels on both sides of at most so many faces across each axis, all of them moved outward if wanted."""
    inside, outside, weights = [], [], []
    for across in faces:
        count = len(across.signs)
        chosen = np.linspace(0, count - 1, min(at_most, count)).astype(np.intp)
        low, signs = across.low_zyx[:, chosen], across.signs[chosen]
        spacing = grid.spacing_mm_zyx[across.axis]
        reach = max(1, round(_ACROSS_MM / spacing + 0.5))  # voxels from the face to the middle of the one looked at
        moved = round(outward_mm / spacing) * -signs
        above, below = low.copy(), low.copy()
        above[across.axis] += reach + moved
        below[across.axis] += 1 - reach + moved
        inside.append(np.where(signs > 0, above, below))
        outside.append(np.where(signs > 0, below, above))
        weights.append(np.full(chosen.size, across.area_mm2 / chosen.size))
    shares = np.concatenate(weights)
    return _Surface(
        inside_zyx=np.concatenate(inside, axis=1),
        outside_zyx=np.concatenate(outside, axis=1),
        weights=shares / shares.sum(),
    )


def _roughly(ct_hu_zyx: NDArray[np.float32], surfaces: Sequence[_Surface], shift: Ints) -> float:
    """The best fit at one place of a surface that may run a little farther in or out, in HU."""
    return max(surface.fit_hu(ct_hu_zyx, shift) for surface in surfaces)


def _mirrors(shape_zyx: tuple[int, ...], box_zyx: tuple[slice, slice, slice]) -> Iterator[_Mirror]:
    """Every way to mirror along one axis or more, about the middle of the volume and about that of the mask's box."""
    volume = tuple(size - 1 for size in shape_zyx)
    box = tuple(part.start + part.stop - 1 for part in box_zyx)
    for chosen in product((False, True), repeat=3):
        axes = tuple(axis for axis in range(3) if chosen[axis])
        if axes:
            yield _Mirror(axes=axes, twice_centre=volume)
            yield _Mirror(axes=axes, twice_centre=box)


def _best(
    ct_hu_zyx: NDArray[np.float32], coarse: _Surface, fine: _Surface, grid: VoxelGrid, reach_mm: float
) -> tuple[float, Ints]:
    """The best fit within reach, in HU, and its shift in voxels: strides of 3 mm, then voxel by voxel."""
    strides = np.array([max(1, round(_STRIDE_MM / spacing)) for spacing in grid.spacing_mm_zyx])
    counts = [int(reach_mm / (stride * s)) for stride, s in zip(strides, grid.spacing_mm_zyx, strict=True)]
    shifts = np.array(list(product(*(range(-count, count + 1) for count in counts)))) * strides
    best = shifts[int(np.argmax([coarse.fit_hu(ct_hu_zyx, shift) for shift in shifts]))]
    fit = fine.fit_hu(ct_hu_zyx, best)
    while True:
        around = [best + step for step in np.concatenate([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])]
        fits = [fine.fit_hu(ct_hu_zyx, shift) for shift in around]
        if max(fits) <= fit:
            return fit, best
        fit, best = max(fits), around[int(np.argmax(fits))]


def _better_along_an_axis(
    ct_hu_zyx: NDArray[np.float32], surface: _Surface, rough: Sequence[_Surface], grid: VoxelGrid
) -> BetterPlace | None:
    """A shift along one index axis, told by the faces across it: for a bone's length its ends, which are few.

    A doubt, never a certainty: such a place is only ever remarked.
    """
    found: list[tuple[float, BetterPlace]] = []
    for axis, spacing in enumerate(grid.spacing_mm_zyx):
        faces = surface.across(axis)
        if faces is None:
            continue
        steps = np.arange(-int(REACH_MM / spacing), int(REACH_MM / spacing) + 1)
        shifts = np.zeros((steps.size, 3), np.int64)
        shifts[:, axis] = steps
        fits = [faces.fit_hu(ct_hu_zyx, shift) for shift in shifts]
        best = int(np.argmax(fits))
        parts = [part for part in (surface.across(axis) for surface in rough) if part is not None]
        fit, better = (_roughly(ct_hu_zyx, parts, shifts[at]) for at in (steps.size // 2, best))
        moved_mm = abs(int(steps[best])) * spacing
        if better >= FITS_FROM_HU and fit < REMARKED_BELOW_ALONG_AN_AXIS * better and moved_mm >= MOVED_FROM_MM:
            place = BetterPlace(fit_hu=fit, better_hu=better, words=_shift_words(shifts[best], grid), certain=False)
            found.append((fit / better, place))
    return min(found, key=lambda one: one[0])[1] if found else None


def _shift_words(shift: Ints, grid: VoxelGrid) -> str:
    moved = grid.position_mm_xyz((float(shift[0]), float(shift[1]), float(shift[2]))) - np.array(grid.origin_mm_xyz)
    parts = [
        f"{abs(mm):.1f} mm {'to the ' if axis == 0 else ''}{_WORDS[axis][0 if mm > 0 else 1]}"
        for axis, mm in enumerate(moved.tolist())
        if abs(mm) >= min(grid.spacing_mm_zyx) / 2
    ]
    return ", ".join(parts)


def _mirror_words(axes: Sequence[int], grid: VoxelGrid) -> str:
    along = np.abs(np.array(grid.direction_xyz).reshape(3, 3))
    ways = sorted(int(np.argmax(along[:, 2 - axis])) for axis in axes)
    return "mirrored " + " and ".join(_MIRRORS[way] for way in ways)
