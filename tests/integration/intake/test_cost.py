"""What a check may take is told before it starts."""

import math

import numpy as np
import pytest
from study_maker import SHAPE_ZYX, ct_hu, slices, write_dicom_study, write_nifti, write_series, write_volume_study

from femseg.intake.cost import LIBRARIES_BYTES, check_memory_bytes
from femseg.layouts import dicom_pairs, volume_pairs

VOXELS = math.prod(SHAPE_ZYX)


def of_voxels(adapter, folder) -> int:
    (study,) = adapter.studies(folder)
    return check_memory_bytes(study) - LIBRARIES_BYTES


def test_a_volume_counts_by_its_header_however_well_it_is_compressed(tmp_path):
    study = write_volume_study(tmp_path / "study")
    assert of_voxels(volume_pairs, tmp_path) == 20 * VOXELS
    write_nifti(study / "ct.nii.gz", ct_hu().astype(np.float64))
    assert of_voxels(volume_pairs, tmp_path) == 28 * VOXELS


def test_a_series_counts_as_if_all_slices_were_as_large_as_its_largest(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    (study / "ct" / "archive.zip").write_bytes(b"x" * 1_000_000)
    assert of_voxels(dicom_pairs, tmp_path) == 20 * VOXELS * 15 // 14
    (large,) = slices(np.zeros((1, 50, 60), np.uint16))
    write_series(study / "scout", [large])[0].rename(study / "ct" / "scout.dcm")
    assert of_voxels(dicom_pairs, tmp_path) == 20 * 16 * 50 * 60


@pytest.mark.parametrize("content", [b"", b"no volume"])
def test_what_will_be_refused_unread_counts_as_nothing(tmp_path, content):
    study = tmp_path / "study"
    study.mkdir()
    for name in ("ct.nii.gz", "mask.dcm", "notes.txt"):
        (study / name).write_bytes(content)
    assert of_voxels(volume_pairs, tmp_path) == 0
