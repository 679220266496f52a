"""Training cases out of the NPY store, as whole volumes or in patches; each array is checked against its hash."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from femseg.cohorts.places import NO_PLACE, PLACE_KINDS
from femseg.cohorts.store import ArrayStore
from femseg.errors import Refusal
from femseg.training.augmentation import Shape, Triple, augmented, drawn_change, region_shape
from femseg.training.batches import DrawKey, Sample, WholeVolumes
from femseg.training.settings import AugmentationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCases(WholeVolumes):
    """A part of the cohort, each case as a whole."""

    inputs: ArrayStore
    masks: ArrayStore
    case_ids: Sequence[str]

    @classmethod
    def open(cls, inputs: Path, masks: Path, case_ids: Sequence[str]) -> Self:
        """Open both stores. Raises: Refusal (exit 4) if one is unfinished, or their grids differ."""
        return cls.matched(ArrayStore.open(inputs), ArrayStore.open(masks), case_ids)

    @classmethod
    def matched(cls, inputs: ArrayStore, masks: ArrayStore, case_ids: Sequence[str]) -> Self:
        """The same of stores that are open. Raises: Refusal (exit 4) if their grids differ."""
        stores = cls(inputs=inputs, masks=masks, case_ids=case_ids)
        for case_id in case_ids:
            if not stores.inputs.shares_grid(stores.masks, case_id):
                problem = f"mask and input of {case_id} lie on different network grids"
                fix = "run `dvc repro` so that arrays and masks are made from the same settings"
                raise Refusal.of("ST-05", masks.folder, problem, fix)
        return stores

    def input_czyx(self, case_id: str) -> NDArray[np.float32]:
        """Network input, shape (C, Z, Y, X)."""
        array: NDArray[np.float32] = self.inputs.load(case_id)
        return array.reshape(-1, *array.shape[-3:])

    def target_zyx(self, case_id: str) -> NDArray[Any]:
        """Reference mask, shape (Z, Y, X)."""
        return self.masks.load(case_id)

    def spacing_mm_zyx(self, case_id: str) -> Triple:
        """Voxel spacing of the network grid."""
        return self.masks.entry(case_id).network_grid.spacing_mm_zyx


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSettings:
    """The `patches:` section of a scale that sees a scan in pieces; none for one that sees it whole.

    Attributes:
        shape_zyx: of a patch, and of a window when a scan is segmented.
        surface, inside, joint, other_bone, background: share of the patches whose centre is drawn at the femur's
            surface, inside of it, at its surface near another bone, in another bone, in soft tissue. A kind that a scan
            does not have leaves its share to the others.
        jitter: how far a centre is moved at most, as a fraction of the patch's edge.
        validation: patches on which each validation case is scored, always the same.
        overlap: of neighbouring windows when a scan is segmented, as a fraction of their edge.
        mirror: segment every window mirrored left to right as well, and average.
    """

    shape_zyx: Shape = (64, 64, 64)
    surface: float = 0.35
    inside: float = 0.15
    joint: float = 0.25
    other_bone: float = 0.15
    background: float = 0.10
    jitter: float = 0.25
    validation: int = 8
    overlap: float = 0.5
    mirror: bool = False

    def __post_init__(self) -> None:
        if min(self.shape_zyx) < 1 or self.validation < 1:
            raise ValueError(f"shape_zyx, validation: expected at least 1, got {self.shape_zyx} and {self.validation}")
        if min(self.shares) < 0 or sum(self.shares) <= 0:
            raise ValueError(f"shares of places: expected none below 0 and one above, got {self.shares}")
        if not (0 <= self.jitter <= 0.5 and 0 <= self.overlap < 1):
            raise ValueError(f"jitter, overlap: expected 0 … 0.5 and 0 … below 1, got {self.jitter} and {self.overlap}")

    @property
    def shares(self) -> tuple[float, ...]:
        """By kind of place, in the order of `PLACE_KINDS`."""
        return tuple(getattr(self, kind) for kind in PLACE_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCases:
    """A part of the cohort, seen in patches: of a case only the slices that a patch needs are read."""

    stores: StoredCases
    places: ArrayStore
    settings: PatchSettings

    @property
    def case_ids(self) -> Sequence[str]:
        """The cases."""
        return self.stores.case_ids

    def sample(self, case_id: str, augmentation: AugmentationSettings, draw_key: DrawKey) -> Sample:
        """See `TrainingCases`."""
        generator = np.random.default_rng(draw_key)
        shape_zyx, spacing_mm_zyx = self.settings.shape_zyx, self.stores.spacing_mm_zyx(case_id)
        centre_zyx = self.drawn_centre(case_id, generator)
        if not augmentation.enabled:
            return self._region(case_id, centre_zyx, shape_zyx)
        change = replace(drawn_change(augmentation, generator), translation_zyx=(0.0, 0.0, 0.0))
        region = self._region(case_id, centre_zyx, region_shape(change, shape_zyx, spacing_mm_zyx))
        return augmented(*region, change, spacing_mm_zyx=spacing_mm_zyx, shape_zyx=shape_zyx)

    def validation_samples(self, case_id: str) -> Iterator[Sample]:
        """See `TrainingCases`."""
        for number in range(self.settings.validation):
            yield self.sample(case_id, AugmentationSettings(), (0, 0, number))

    def drawn_centre(self, case_id: str, generator: np.random.Generator) -> NDArray[np.int64]:
        """The middle voxel (z, y, x) of a patch; it may lie a little beyond the scan."""
        places = self.places.load(case_id)
        shares = np.where(places[:, 0, 0] == NO_PLACE, 0.0, self.settings.shares)
        kind_draw, jitter = generator.random(), generator.uniform(-1.0, 1.0, 3) * self.settings.jitter
        number = int(generator.integers(places.shape[1]))
        if not shares.sum():  # nothing but air, or places of a kind that has no share
            return np.array(self.places.entry(case_id).shape_zyx) // 2
        kind = int(np.searchsorted(np.cumsum(shares) / shares.sum(), kind_draw, side="right"))
        moved = np.rint(jitter * self.settings.shape_zyx).astype(np.int64)
        centre: NDArray[np.int64] = places[min(kind, len(places) - 1), number].astype(np.int64)
        return centre + moved

    def _region(self, case_id: str, centre_zyx: NDArray[np.int64], shape_zyx: Shape) -> Sample:
        """Input and mask about a centre; beyond the scan 0, as where windows reach beyond it."""
        first = centre_zyx - np.array(shape_zyx) // 2
        size = np.array(self.places.entry(case_id).shape_zyx)
        low, high = np.clip(first, 0, size), np.clip(first + shape_zyx, 0, size)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        inside = tuple(slice(int(a), int(b)) for a, b in zip(low - first, high - first, strict=True))
        found = self.stores.inputs.part(case_id, box)  # type: ignore[arg-type]  # three slices
        input_czyx = np.zeros((1 if found.ndim == 3 else len(found), *shape_zyx), np.float32)
        input_czyx[(slice(None), *inside)] = found
        target_zyx = np.zeros(shape_zyx, np.float32)
        target_zyx[inside] = self.stores.masks.part(case_id, box)  # type: ignore[arg-type]
        return torch.from_numpy(input_czyx), torch.from_numpy(target_zyx)
