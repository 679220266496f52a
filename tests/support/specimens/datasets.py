"""Datasets in the layouts of others: nnU-Net v2, the Medical Segmentation Decathlon, TotalSegmentator."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specimens.base import SHAPE_ZYX, ct_hu, femur_mask, write_nifti
from specimens.drawn import FEMUR
from specimens.specimen import Make, Specimen, accepted, refused


def _with_patella() -> NDArray[np.uint8]:
    """The femur as 2, something else as 1."""
    values = femur_mask().astype(np.uint8) * 2
    values[5:8, 17:20, 16:20] = 1
    return np.asarray(values, np.uint8)


def _described(folder: Path, **document: Any) -> None:
    (folder / "dataset.json").write_text(json.dumps(document), encoding="utf-8")


def nnunet(
    change: Callable[[Path], object] | None = None,
    *,
    names: tuple[str, ...] = ("femur",),
    values: NDArray[np.uint8] | None = None,
) -> Make:
    """A dataset of one case; `names` are of the labels from 1 on."""

    def make(folder: Path) -> None:
        write_nifti(folder / "imagesTr" / "leg_000_0000.nii.gz", ct_hu())
        write_nifti(folder / "labelsTr" / "leg_000.nii.gz", femur_mask().astype("u1") if values is None else values)
        labels = {"background": 0} | {name: value for value, name in enumerate(names, start=1)}
        _described(folder, channel_names={"0": "CT"}, labels=labels, numTraining=1, file_ending=".nii.gz")
        if change is not None:
            change(folder)

    return make


def msd(image: str = "./imagesTr/leg_000.nii.gz", change: Callable[[Path], object] | None = None) -> Make:
    """A dataset of one pair; `image` is where its list says that the CT lies."""

    def make(folder: Path) -> None:
        write_nifti(folder / "imagesTr" / "leg_000.nii.gz", ct_hu())
        write_nifti(folder / "labelsTr" / "leg_000.nii.gz", femur_mask().astype("u1"))
        _described(
            folder,
            name="Femur",
            tensorImageSize="3D",
            modality={"0": "CT"},
            labels={"0": "background", "1": "femur"},
            numTraining=1,
            numTest=0,
            training=[{"image": image, "label": "./labelsTr/leg_000.nii.gz"}],
            test=[],
        )
        if change is not None:
            change(folder)

    return make


def totalsegmentator(**others: NDArray[np.bool_]) -> Make:
    """A study with a file for the right femur, an empty one for the left, and others."""

    def make(folder: Path) -> None:
        study = folder / "s0001"
        write_nifti(study / "ct.nii.gz", ct_hu())
        for name, mask in {"femur_left": np.zeros(SHAPE_ZYX, bool), "femur_right": femur_mask(), **others}.items():
            write_nifti(study / "segmentations" / f"{name}.nii.gz", mask.astype("u1"))

    return make


def _without_image(folder: Path) -> None:
    write_nifti(folder / "labelsTr" / "leg_001.nii.gz", femur_mask().astype("u1"))


def _without_label(folder: Path) -> None:
    (folder / "labelsTr" / "leg_000.nii.gz").unlink()


_TWO = ("patella", "femur")
SPECIMENS: tuple[Specimen, ...] = (
    accepted("nnunet", "IN-15", "a dataset of nnU-Net v2", nnunet(), truth="base"),
    accepted(
        "nnunet-chosen",
        "IN-22",
        "two labels by name, one chosen",
        nnunet(names=_TWO, values=_with_patella()),
        settings={"structures": FEMUR},
        truth="base",
    ),
    refused(
        "nnunet-not-chosen",
        "IN-22",
        "two labels by name, none chosen",
        nnunet(names=_TWO, values=_with_patella()),
        "dataset.json",
        "patella",
        faulty="mask",
    ),
    refused(
        "nnunet-label-without-image",
        "IN-05",
        "a label whose image is missing",
        nnunet(_without_image),
        "labelsTr/leg_001.nii.gz",
        "no imagesTr/leg_001_0000.nii.gz",
        faulty="cohort",
    ),
    refused(
        "nnunet-image-without-label",
        "IN-22",
        "an image whose label is missing",
        nnunet(_without_label),
        "leg_000_0000.nii.gz",
        "has no label file",
        faulty="mask",
    ),
    accepted("msd", "IN-15", "a dataset of the Medical Segmentation Decathlon", msd(), truth="base"),
    refused(
        "msd-leads-out",
        "SC-08",
        "a dataset.json that names a file outside its folder",
        msd("../secret.nii.gz"),
        "training[0].image",
        "leads out",
        exit_code=2,
        faulty="cohort",
        truth="none",
    ),
    refused(
        "msd-file-missing",
        "IN-26",
        "a dataset.json that lists a file that is not there",
        msd(change=_without_label),
        "labelsTr/leg_000.nii.gz",
        "No such file",
        faulty="mask",
    ),
    accepted(
        "totalsegmentator",
        "IN-15",
        "a study of TotalSegmentator, a file for each bone",
        totalsegmentator(),
        truth="base",
    ),
    refused(
        "totalsegmentator-overlap",
        "IN-22",
        "left and right femur share voxels",
        totalsegmentator(femur_left=femur_mask()),
        "of its voxels are set in femur_left.nii.gz too",
        faulty="mask",
    ),
)
