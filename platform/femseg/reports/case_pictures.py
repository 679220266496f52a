"""The arrays of a test case as the figures show them, from the files that the stages left."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from femseg.cohorts.store import ArrayStore
from femseg.reports.evidence import CasePicture


def read_picture(case_id: str, *, modes: Sequence[str], arrays: Path, evaluated: Path) -> CasePicture:
    """One test case, and what each model made of it.

    Args:
        arrays: the folder of the array stores; every array is compared with its index.
        evaluated: the folder in which each input mode has what `evaluate` left.
    """
    masks = ArrayStore.open(arrays / "mask")
    return CasePicture(
        case_id=case_id,
        spacing_mm_zyx=masks.entry(case_id).network_grid.spacing_mm_zyx,
        ct_zyx=ArrayStore.open(arrays / "raw").load(case_id),
        gradient_zyx=ArrayStore.open(arrays / "gradient").load(case_id),
        reference_zyx=masks.load(case_id),
        predicted_zyx={
            mode: np.load(evaluated / mode / "network_grid" / f"{case_id}.npy", allow_pickle=False) for mode in modes
        },
    )
