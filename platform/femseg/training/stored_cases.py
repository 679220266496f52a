"""Training cases out of the NPY store; each array is checked against its hash whenever it is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.store import ArrayStore
from femseg.errors import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCases:
    """A part of the cohort as `training.batches.TrainingCases`."""

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

    def spacing_mm_zyx(self, case_id: str) -> tuple[float, float, float]:
        """Voxel spacing of the network grid."""
        return self.masks.entry(case_id).network_grid.spacing_mm_zyx
