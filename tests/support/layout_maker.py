"""Small datasets in the layouts that others publish: TotalSegmentator, nnU-Net v2, Medical Segmentation Decathlon."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from study_maker import SHAPE_ZYX, ct_hu, femur_mask, write_nifti

RIGHT = femur_mask()
LEFT = np.zeros(SHAPE_ZYX, bool)
LEFT[2:12, 8:14, 16:22] = True  # patient x grows to the left
BOTH = LEFT * np.uint8(1) + RIGHT * np.uint8(2)


def two_femora_hu(seed: int = 0) -> NDArray[np.int16]:
    return ct_hu(LEFT | RIGHT, seed)


def write_totalsegmentator_study(folder: Path, *, seed: int = 0, **structures: NDArray[np.generic] | None) -> Path:
    """`ct.nii.gz` and one file per structure; both femora and a hip unless told otherwise (None leaves one out)."""
    hip = np.zeros(SHAPE_ZYX, bool)
    hip[12:, 8:14, 5:12] = True
    write_nifti(folder / "ct.nii.gz", two_femora_hu(seed))
    for name, mask in ({"femur_left": LEFT, "femur_right": RIGHT, "hip_left": hip} | structures).items():
        if mask is not None:
            write_nifti(folder / "segmentations" / f"{name}.nii.gz", mask.astype(np.uint8))
    return folder


def write_dataset_json(folder: Path, document: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(document))


NNUNET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "femur_left": 1, "femur_right": 2},
    "file_ending": ".nii.gz",
}


def write_nnunet(folder: Path, *, cases: int = 2, test_images: int = 0, **changes: Any) -> Path:
    """Cases leg_000 …; `changes` replace keys of dataset.json, None leaves one out."""
    document = NNUNET | {"numTraining": cases} | changes
    write_dataset_json(folder, {key: value for key, value in document.items() if value is not None})
    for seed in range(cases):
        write_nifti(folder / "imagesTr" / f"leg_{seed:03d}_0000.nii.gz", two_femora_hu(seed))
        write_nifti(folder / "labelsTr" / f"leg_{seed:03d}.nii.gz", BOTH)
    for seed in range(100, 100 + test_images):
        write_nifti(folder / "imagesTs" / f"leg_{seed:03d}_0000.nii.gz", two_femora_hu(seed))
    return folder


def write_msd(folder: Path, *, cases: int = 2, test_images: int = 0, **changes: Any) -> Path:
    """The same as a Decathlon dataset."""
    names = [f"femur_{seed:03d}" for seed in range(cases)]
    document = {
        "name": "Femur",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "femur_left", "2": "femur_right"},
        "numTraining": cases,
        "numTest": test_images,
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names],
        "test": [f"./imagesTs/femur_{seed:03d}.nii.gz" for seed in range(100, 100 + test_images)],
    } | changes
    write_dataset_json(folder, {key: value for key, value in document.items() if value is not None})
    for seed, name in enumerate(names):
        write_nifti(folder / "imagesTr" / f"{name}.nii.gz", two_femora_hu(seed))
        write_nifti(folder / "labelsTr" / f"{name}.nii.gz", BOTH)
    for seed in range(100, 100 + test_images):
        write_nifti(folder / "imagesTs" / f"femur_{seed:03d}.nii.gz", two_femora_hu(seed))
    return folder
