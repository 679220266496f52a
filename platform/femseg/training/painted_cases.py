"""Training cases that are painted anew for every sample: what lies where is stored, how it looks is drawn.

Distances are stored and moved, not intensities, so that a cortex of 0.7 mm has its right mass in voxels of 3 mm however
a patch is turned. Stored looks would be finite, and painting at a CT's own resolution eight times the work or more; so
the gradient must be that of the resampled CT, in training and in inference alike: see `InputRecipe.gradient_of`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from femseg.cohorts.store import ArrayStore
from femseg.synthetic.painting import painted_scan
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.synthetic.scene import BONE_MM, FEMUR_MM, NEUTRAL, STEP_MM
from femseg.training.augmentation import Change, Shape, cut_part, drawn_change, region_shape, sampling_grid
from femseg.training.batches import DrawKey, Sample
from femseg.training.settings import AugmentationSettings
from femseg.training.stored_cases import PatchCases
from femseg.volumes.network_input import painted_input

_SURFACE = NEUTRAL - 0.5  # the code of a distance of 0 mm
_WELL_INSIDE = NEUTRAL + 8  # 2 mm: further than masks and distances on one grid may differ
_CORTEX_MM = 10.0
_RIM = 1  # voxels about a patch, so that its gradient is that of a larger scan


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintedCases:
    """A part of a synthetic cohort. Of a case only the slices that a patch needs are read.

    Attributes:
        patches: where patches lie, masks, and the recipe of the network's input.
        fields: of kind "tissue": the scenes on the network grid.
        painting: how they may look.
    """

    patches: PatchCases
    fields: ArrayStore
    painting: PaintingSettings

    @property
    def case_ids(self) -> Sequence[str]:
        """The cases."""
        return self.patches.case_ids

    def sample(self, case_id: str, augmentation: AugmentationSettings, draw_key: DrawKey) -> Sample:
        """See `TrainingCases`. Of the augmentation what moves and cuts is applied; all else is the painter's."""
        generator = np.random.default_rng(draw_key)
        stores, shape_zyx = self.patches.stores, self.patches.settings.shape_zyx
        spacing_mm_zyx = stores.spacing_mm_zyx(case_id)
        centre_zyx = self.patches.drawn_centre(case_id, generator)
        change = replace(drawn_change(augmentation, generator), translation_zyx=(0.0, 0.0, 0.0))
        if not augmentation.enabled:
            change = Change()
        fields_czyx, femur_zyx, shown_zyx = self._moved(case_id, centre_zyx, change)
        hu_zyx, femur_zyx = painted_scan(fields_czyx, femur_zyx, spacing_mm_zyx, self.painting, generator)
        middle = (slice(_RIM, -_RIM),) * 3
        seen_czyx = painted_input(hu_zyx, spacing_mm_zyx, stores.inputs.recipe)[(slice(None), *middle)]
        seen_czyx, femur_zyx, shown_zyx = seen_czyx.astype(np.float32), femur_zyx[middle], shown_zyx[middle].copy()
        if change.cut_share:
            shown_zyx[cut_part(change, shape_zyx)] = False
        seen_czyx *= shown_zyx  # 0 as where windows reach beyond a scan
        return torch.from_numpy(seen_czyx), torch.from_numpy((femur_zyx & shown_zyx).astype(np.float32))

    def validation_samples(self, case_id: str) -> Iterator[Sample]:
        """See `TrainingCases`."""
        own = int(hashlib.sha256(case_id.encode()).hexdigest()[:8], 16)  # no two cases look alike
        for number in range(self.patches.settings.validation):
            yield self.sample(case_id, AugmentationSettings(), (0, own, number))

    def _moved(
        self, case_id: str, centre_zyx: NDArray[np.int64], change: Change
    ) -> tuple[list[NDArray[Any]], NDArray[np.bool_], NDArray[np.bool_]]:
        """A patch with its rim after the change: fields, femur, and what of it lies in the scan."""
        spacing_mm_zyx = self.patches.stores.spacing_mm_zyx(case_id)
        z, y, x = (size + 2 * _RIM for size in self.patches.settings.shape_zyx)
        region_zyx = region_shape(change, (z, y, x), spacing_mm_zyx)
        codes_czyx, meant_zyx, shown_zyx = self._region(case_id, centre_zyx, region_zyx)
        others = bool(((codes_czyx[FEMUR_MM] > _WELL_INSIDE) & ~meant_zyx).any())
        if change == Change():
            fields: list[NDArray[Any]] = list(codes_czyx)
            distances = [fields[channel].astype(np.float32) for channel in (FEMUR_MM, BONE_MM)]
        else:
            grid = sampling_grid(change, (z, y, x), region_zyx, spacing_mm_zyx)
            places = _places(grid[0].numpy(), region_zyx)
            nearest = _nearest(places, region_zyx)
            fields = [codes_zyx.reshape(-1).take(nearest) for codes_zyx in codes_czyx]
            shown_zyx = shown_zyx.reshape(-1).take(nearest)
            distances = [
                _distances(fields[channel], codes_czyx[channel], places, max(spacing_mm_zyx), change.scale)
                for channel in (FEMUR_MM, BONE_MM)
            ]
            if others:
                meant_zyx = meant_zyx.reshape(-1).take(nearest)
        fields[FEMUR_MM], fields[BONE_MM] = distances
        # the mask tells which femora are meant, the distance where their surface is, finer than a voxel
        femur_zyx = distances[0] > _SURFACE
        return fields, femur_zyx & meant_zyx if others else femur_zyx, shown_zyx

    def _region(
        self, case_id: str, centre_zyx: NDArray[np.int64], shape_zyx: Shape
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
        """Codes and femur about a centre; beyond the scan its edge goes on, and nothing is shown."""
        size_zyx = self.fields.entry(case_id).shape_zyx
        wanted = [np.arange(n) + c - n // 2 for n, c in zip(shape_zyx, centre_zyx.tolist(), strict=True)]
        z, y, x = (np.clip(at, 0, size - 1) for at, size in zip(wanted, size_zyx, strict=True))
        box = (slice(z[0], z[-1] + 1), slice(y[0], y[-1] + 1), slice(x[0], x[-1] + 1))
        codes_czyx, femur_zyx = self.fields.part(case_id, box), self.patches.stores.masks.part(case_id, box)
        for axis, at in enumerate((z, y, x)):
            if at[-1] - at[0] + 1 < len(at):
                codes_czyx, femur_zyx = codes_czyx.take(at - at[0], axis + 1), femur_zyx.take(at - at[0], axis)
        shown_z, shown_y, shown_x = (at == inside for at, inside in zip(wanted, (z, y, x), strict=True))
        return codes_czyx, femur_zyx, np.asarray(shown_z[:, None, None] & shown_y[:, None] & shown_x)


def _places(grid_zyx3: NDArray[np.float32], region_zyx: Shape) -> list[NDArray[np.float32]]:
    """Where to read, in voxels of the region along z, y and x; from `grid_sample`'s coordinates, whose edges are ±1."""
    places = []
    for axis, size in enumerate(region_zyx):
        at = (grid_zyx3[..., 2 - axis] + np.float32(1.0)) * np.float32(0.5 * size) - np.float32(0.5)
        places.append(np.clip(at, 0.0, np.float32(size - 1), out=at))
    return places


def _nearest(places: Sequence[NDArray[np.float32]], region_zyx: Shape) -> NDArray[np.intp]:
    """The number of the nearest voxel of a region."""
    z, y, x = ((at + np.float32(0.5)).astype(np.intp) for at in places)
    return (z * region_zyx[1] + y) * region_zyx[2] + x


def _distances(
    nearest: NDArray[np.uint8],
    codes_zyx: NDArray[np.uint8],
    places: Sequence[NDArray[np.float32]],
    edge_mm: float,
    scale: float,
) -> NDArray[np.float32]:
    """Distance codes: linear between voxels where a surface or a cortex is near, elsewhere those of the nearest.

    What is enlarged lies further apart, and so do its surfaces.
    """
    found = nearest.astype(np.float32)
    outside, inside = 1.5 * edge_mm / STEP_MM, (1.5 * edge_mm + _CORTEX_MM) / STEP_MM
    where = np.flatnonzero((nearest > _SURFACE - outside) & (nearest < _SURFACE + inside))
    found.reshape(-1)[where] = _trilinear(codes_zyx, [at.reshape(-1).take(where) for at in places])
    found -= np.float32(_SURFACE)
    found *= np.float32(scale)
    found += np.float32(_SURFACE)
    return found


def _trilinear(codes_zyx: NDArray[np.uint8], places: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Codes at places between voxels, shape (n,)."""
    shape_zyx, flat = codes_zyx.shape, codes_zyx.reshape(-1)
    low = [np.minimum(at.astype(np.intp), size - 2) for at, size in zip(places, shape_zyx, strict=True)]
    t_z, t_y, t_x = (at - first for at, first in zip(places, low, strict=True))
    step_y, step_z = shape_zyx[2], shape_zyx[1] * shape_zyx[2]
    first = low[0] * step_z + low[1] * step_y + low[2]

    def along_x(offset: int) -> NDArray[np.float32]:
        before, after = (flat.take(first + (offset + step)).astype(np.float32) for step in (0, 1))
        return np.asarray(before + t_x.astype(np.float32) * (after - before))

    def along_y(offset: int) -> NDArray[np.float32]:
        before, after = along_x(offset), along_x(offset + step_y)
        return np.asarray(before + t_y.astype(np.float32) * (after - before))

    below, above = along_y(0), along_y(step_z)
    return np.asarray(below + t_z.astype(np.float32) * (above - below), np.float32)
