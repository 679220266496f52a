"""Masks whose voxels were turned over under an unchanged header, on a bone that is alike on no axis."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specimens.base import SHAPE_ZYX, ct_hu, write_nifti
from specimens.specimen import Make, Specimen, accepted, refused, remarked


def _bone() -> NDArray[np.bool_]:
    """A shaft with an arm to the left and one to the back, both at its lower end."""
    bone = np.zeros(SHAPE_ZYX, bool)
    bone[2:12, 4:8, 5:9] = True
    bone[2:5, 4:8, 5:19] = True
    bone[2:5, 4:18, 5:9] = True
    return bone


def _shifted_a_little(folder: Path) -> None:
    turned_over()(folder)
    write_nifti(folder / "study" / "mask.nii.gz", np.roll(_bone(), 1, axis=1).astype("u1"))


def turned_over(*axes_zyx: int) -> Make:
    """A NIfTI study whose mask is mirrored along axes, within the box of the bone so that it still lies there."""

    def make(folder: Path) -> None:
        bone = _bone()
        box = tuple(slice(int(one.min()), int(one.max()) + 1) for one in np.nonzero(bone))
        mask = np.zeros_like(bone)
        mask[box] = np.flip(bone[box], axes_zyx)
        write_nifti(folder / "study" / "ct.nii.gz", ct_hu(bone))
        write_nifti(folder / "study" / "mask.nii.gz", mask.astype("u1"))

    return make


def _mirrored(kind: str, about: str, *axes_zyx: int) -> Specimen:
    return refused(kind, "IN-21", about, turned_over(*axes_zyx), "study/mask.nii.gz", faulty="mask", truth="stored")


SPECIMENS: tuple[Specimen, ...] = (
    accepted("bone-with-arms", "IN-21", "a mask on a bone that is alike on no axis", turned_over()),
    remarked("mask-a-voxel-off", "IN-21", "voxels shifted by 3 mm", _shifted_a_little, "the mask may be misplaced"),
    _mirrored("mask-upside-down", "voxels turned upside down under an unchanged header", 0),
    _mirrored("mask-front-to-back", "voxels mirrored front to back under an unchanged header", 1),
    _mirrored("mask-mirrored", "voxels mirrored left to right under an unchanged header", 2),
    _mirrored("mask-turned-over", "voxels turned by 180° under an unchanged header", 1, 2),
)
