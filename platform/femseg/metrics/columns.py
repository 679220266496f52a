"""Nearest voxels by columns: how far the target is along z, once for all; then the columns around, nearest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from femseg.metrics.masks import Mask

_REACH = 8  # in units of the largest spacing: how far the columns around are tried
_NO_TARGET = 16_000  # slices; int16 holds one more


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Slices to the nearest target voxel in the same column, for every voxel of a volume.

    This is the first pass of a separable distance transform (Felzenszwalb & Huttenlocher 2012); the second is done only
    for the voxels that are asked for, and stops where no column can bring a nearer target.

    Attributes:
        slices_away_zyx: int16, padded in y and x by the columns that are tried.
        rim_yx: width of that padding.
        spacing_mm: along (z, y, x).
    """

    slices_away_zyx: NDArray[np.int16]
    rim_yx: tuple[int, int]
    spacing_mm: NDArray[np.float64]

    @classmethod
    def of(cls, to_voxels: Mask, spacing_mm: NDArray[np.float64]) -> Self:
        """Two passes along z over the targets, bool, shape (Z, Y, X)."""
        slices_away = np.where(to_voxels, np.int16(0), np.int16(_NO_TARGET))
        for order in (slices_away, slices_away[::-1]):
            for before, here in pairwise(order):
                np.minimum(here, before + np.int16(1), out=here)
        y, x = (int(_REACH * spacing_mm.max() / s) for s in spacing_mm[1:])
        slices_away = np.pad(slices_away, ((0, 0), (y, y), (x, x)), constant_values=_NO_TARGET)
        return cls(slices_away_zyx=slices_away, rim_yx=(y, x), spacing_mm=spacing_mm)

    @property
    def reach_mm(self) -> float:
        """Distances up to here are found."""
        return float(_REACH * self.spacing_mm.max())

    def steps_for(self, distances_mm: NDArray[np.float64]) -> float:
        """How many columns lie within these distances, on average."""
        within_mm = np.minimum(distances_mm, self.reach_mm)
        return float(np.mean(np.pi * within_mm**2) / (self.spacing_mm[1] * self.spacing_mm[2]))

    def distances_mm(self, indices_zyx: NDArray[np.int_]) -> NDArray[np.float64]:
        """Distance of each of these voxels to its nearest target; infinite if that is beyond `reach_mm`."""
        _, y, x = self.slices_away_zyx.shape
        places = (indices_zyx + np.array((0, *self.rim_yx))) @ (y * x, x, 1)
        slices_away = self.slices_away_zyx.ravel()
        squared_mm2 = (np.arange(_NO_TARGET + 1) * self.spacing_mm[0]) ** 2
        squared_mm2[_NO_TARGET] = np.inf
        nearest_mm2 = squared_mm2[slices_away[places]]
        open_, found_mm2 = np.arange(len(places)), nearest_mm2.copy()
        for offsets, length_mm2 in self._rings_nearest_first():
            nearest_mm2[open_] = found_mm2
            improvable = found_mm2 > length_mm2
            if not improvable.all():
                open_, places, found_mm2 = open_[improvable], places[improvable], found_mm2[improvable]
            if not open_.size:
                break
            fewest = slices_away[places + offsets[0]]
            for offset in offsets[1:]:
                np.minimum(fewest, slices_away[places + offset], out=fewest)
            np.minimum(found_mm2, squared_mm2[fewest] + length_mm2, out=found_mm2)
        nearest_mm2[open_] = found_mm2
        nearest_mm2[nearest_mm2 > self.reach_mm**2] = np.inf
        return np.asarray(np.sqrt(nearest_mm2))

    def _rings_nearest_first(self) -> Iterator[tuple[NDArray[np.int_], float]]:
        """The columns around within reach: offsets of all that are equally far, and their squared distance."""
        y, x = np.meshgrid(*(np.arange(-n, n + 1) for n in self.rim_yx), indexing="ij")
        lengths_mm2 = (y * self.spacing_mm[1]) ** 2 + (x * self.spacing_mm[2]) ** 2
        offsets = y * self.slices_away_zyx.shape[2] + x
        rings, members = np.unique(lengths_mm2, return_inverse=True)
        order = np.argsort(members, axis=None, kind="stable")
        starts = np.searchsorted(members.ravel()[order], np.arange(len(rings) + 1))
        for ring in range(1, len(rings)):  # the first is the column itself
            if rings[ring] > self.reach_mm**2:
                return
            yield offsets.ravel()[order[starts[ring] : starts[ring + 1]]], float(rings[ring])
