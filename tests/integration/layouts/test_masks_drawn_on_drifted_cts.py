"""A CT may drift by up to half a slice from even spacing: a mask is drawn on the slice it lies on, or refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from object_maker import saved, segmentation, structure_set
from pydicom.dataset import Dataset
from study_maker import assert_one_line_refusal, slices, write_series

from femseg.errors import Refusal
from femseg.formats.dicom.ct_planes import CtPlanes
from femseg.formats.dicom.headers import SliceHeader, read_slice_header
from femseg.formats.dicom.rtstruct import check_structure_set, draw_structure_set, read_structure_set
from femseg.formats.dicom.segmentation import check_segmentation, draw_segmentation, read_segmentation
from femseg.formats.dicom.series import check_series
from femseg.formats.dicom.writing.reference import ct_reference
from femseg.formats.source import CheckedVolume

COUNT, STEP_MM, CHANGE_MM = 102, 0.5, 0.0048
HEIGHTS_MM = np.cumsum([0.0] + [STEP_MM - CHANGE_MM] * 50 + [STEP_MM + CHANGE_MM] * 51)
SQUARE_MM = np.array([[-28.0, -35.0], [-20.0, -35.0], [-20.0, -25.0], [-28.0, -25.0]])
STORED = np.random.default_rng(0).integers(1000, 1100, (COUNT, 18, 21))


def drifted_ct(folder: Path) -> tuple[list[Dataset], CheckedVolume, CtPlanes]:
    """A CT whose middle slices lie 0.48 of a slice below their even places, as the check accepts it."""
    datasets = slices(STORED)
    for dataset, height_mm in zip(datasets, HEIGHTS_MM, strict=True):
        dataset.ImagePositionPatient = [-30.0, -40.0, f"{100 + height_mm:.6f}"]
        dataset.SliceThickness = STEP_MM
    headers = [read_slice_header(path) for path in write_series(folder / "ct", datasets)]
    assert all(isinstance(header, SliceHeader) for header in headers)
    ct = check_series(headers, "ct", str)
    return datasets, ct, CtPlanes.of(ct, headers)


def contours(path: Path, ct: list[Dataset], indices: Sequence[int], off_mm: float) -> Path:
    """Squares on these slices, the same little way off each."""
    drawn = [(k, np.column_stack([SQUARE_MM, np.full(4, 100 + HEIGHTS_MM[k] + off_mm)])) for k in indices]
    return saved(structure_set(ct, {"Femur": drawn}), path)


def drawn_contours(path: Path, ct: CheckedVolume, planes: CtPlanes) -> list[int]:
    check_structure_set(read_structure_set(path), [1], ct, planes, str, accept_frame=False)
    return np.flatnonzero(draw_structure_set(path, ct.grid, [[1]]).any(axis=(1, 2))).tolist()


def drawn_frames(path: Path, ct: CheckedVolume, planes: CtPlanes) -> list[int]:
    header = read_slice_header(path)
    assert isinstance(header, SliceHeader)
    check_segmentation(read_segmentation(header), [1], ct, planes, str, accept_frame=False)
    return np.flatnonzero(draw_segmentation(header, ct.grid, [[1]]).any(axis=(1, 2))).tolist()


def test_contours_that_the_even_spacing_would_put_on_another_slice_are_refused_IN_20(tmp_path):
    datasets, ct, planes = drifted_ct(tmp_path)
    path = contours(tmp_path / "rs.dcm", datasets, range(40, 60), off_mm=-0.09)
    with pytest.raises(Refusal) as caught:
        drawn_contours(path, ct, planes)
    says = "lies on slice 41 of the CT, but at 40.43 by its even spacing of 0.5 mm"
    assert_one_line_refusal(caught.value.faults, "IN-20", str(path), "contour 1 of 'Femur'", says, "even slice spacing")


@pytest.mark.parametrize("off_mm", [-0.09, 0.0, 0.09])
def test_contours_are_drawn_on_their_slices_where_a_ct_drifts_less(tmp_path, off_mm):
    datasets, ct, planes = drifted_ct(tmp_path)
    path = contours(tmp_path / "rs.dcm", datasets, range(5, 25), off_mm)
    assert drawn_contours(path, ct, planes) == list(range(5, 25))


def test_frames_too_near_to_the_middle_between_two_even_slices_are_refused_IN_20(tmp_path):
    datasets, ct, planes = drifted_ct(tmp_path)
    mask = np.zeros(STORED.shape, np.uint8)
    mask[30:60, 2:5, 3:6] = 1
    path = saved(segmentation(datasets, mask, ["Femur"]), tmp_path / "seg.dcm")
    with pytest.raises(Refusal) as caught:
        drawn_frames(path, ct, planes)
    says = ["tolerated 0.45 of a slice", "(7 of 30 frames)", "even slice spacing"]
    assert_one_line_refusal(caught.value.faults, "IN-20", str(path), *says)


def test_frames_are_drawn_on_their_slices_where_a_ct_drifts_less(tmp_path):
    datasets, ct, planes = drifted_ct(tmp_path)
    mask = np.zeros(STORED.shape, np.uint8)
    mask[20:40, 2:5, 3:6] = 1
    path = saved(segmentation(datasets, mask, ["Femur"]), tmp_path / "seg.dcm")
    assert drawn_frames(path, ct, planes) == list(range(20, 40))


def test_no_mask_is_written_for_a_ct_on_which_it_would_be_drawn_elsewhere_DC_01(tmp_path):
    _, ct, _ = drifted_ct(tmp_path)
    with pytest.raises(Refusal) as caught:
        ct_reference(ct.hashed(tmp_path), tmp_path, ct.grid, name="ct")
    says = "slice 51 lies 0.48 of a voxel off the even grid, tolerated 0.45"
    assert_one_line_refusal(caught.value.faults, "DC-01", "ct", says, "--dicom-seg")
