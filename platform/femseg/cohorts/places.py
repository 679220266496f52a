"""Places in a scan round which patches are drawn, by what lies there: a bone's rim is hard, most of a scan is not."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from femseg.cohorts.femur_side import box_of
from femseg.volumes.grid import Triple

PlaceKind = Literal["surface", "inside", "joint", "other_bone", "background"]
PLACE_KINDS: tuple[PlaceKind, ...] = get_args(PlaceKind)
PLACES_SHAPE = (len(PLACE_KINDS), 512, 3)  # kind, number, voxel index (z, y, x)
NO_PLACE = -1

_BONE_HU, _BODY_HU = 200.0, -300.0
_JOINT_MM = 8.0  # from the femur's surface to another bone
_CANDIDATES = 40_000


def find_places(
    femur_zyx: NDArray[np.bool_], hu_zyx: NDArray[np.floating[Any]], spacing_mm_zyx: Triple
) -> NDArray[np.int16]:
    """As many voxels of each kind as there is room for, drawn evenly; the same of the same scan.

    Args:
        femur_zyx, hu_zyx: reference mask and CT on one grid.
        spacing_mm_zyx: of that grid.
    Returns: shape `PLACES_SHAPE`; a kind that the scan does not have is all `NO_PLACE`.
    """
    generator = np.random.default_rng(0)
    found: dict[PlaceKind, NDArray[np.intp]] = {kind: np.empty((0, 3), np.intp) for kind in PLACE_KINDS}
    drawn = generator.integers(0, femur_zyx.shape, (_CANDIDATES, 3))
    hu, femur = hu_zyx[tuple(drawn.T)], femur_zyx[tuple(drawn.T)]
    found["background"] = drawn[(hu > _BODY_HU) & (hu < _BONE_HU) & ~femur]
    step = 1 if femur_zyx.size < 1 << 24 else 2
    thin = (slice(None, None, step),) * 3
    found["other_bone"] = np.argwhere((hu_zyx[thin] >= _BONE_HU) & ~femur_zyx[thin]) * step
    if (box := box_of(femur_zyx)) is not None:
        first = [part.start for part in box]
        core = ndimage.binary_erosion(femur_zyx[box])
        found["inside"] = np.argwhere(core) + first
        found["surface"] = np.argwhere(femur_zyx[box] & ~core) + first
        rim, others = (_some(found[kind], _CANDIDATES, generator) for kind in ("surface", "other_bone"))
        if len(others):
            gap_mm, _ = cKDTree(others * spacing_mm_zyx).query(rim * spacing_mm_zyx)
            found["joint"] = rim[gap_mm <= _JOINT_MM]
    places = np.full(PLACES_SHAPE, NO_PLACE, np.int16)
    for row, kind in zip(places, PLACE_KINDS, strict=True):
        if len(found[kind]):  # few are repeated until the row is full
            row[...] = np.resize(_some(found[kind], len(row), generator), row.shape)
    return places


def _some(voxels: NDArray[np.intp], count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    return voxels[generator.permutation(len(voxels))[:count]]
