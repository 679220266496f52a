"""Pictures of studies that were refused: what can be drawn is drawn, where it lies."""

import math

import numpy as np
import pytest
from object_maker import place_mm, saved, structure_set
from study_maker import SHAPE_ZYX, SPACING_ZYX, ct_slices, write_dicom_study, write_series, write_volume_study

from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.intake.check import check_one
from femseg.intake.open_stack import refused_preview
from femseg.layouts import dicom_pairs
from femseg.layouts.detect import studies_of


def checked(folder, **settings):
    (study,) = studies_of(folder, CohortSettings(source="dicom", **settings))
    return check_one(study, CohortSettings(source="dicom", **settings), root=folder, id_key=b"key", pictures=True)


def plane(study, name):
    return next(plane for plane in study.preview.planes if plane.name == name)


def test_a_good_study_shows_its_mask_and_no_mark(tmp_path):
    write_dicom_study(tmp_path / "one")
    study = checked(tmp_path)
    assert study.usable
    assert study.preview.bands == ()
    assert all(plane.mask.any() for plane in study.preview.planes)
    assert sum(study.hu_counts) == 14 * 24 * 26


def test_missing_slices_are_a_band_at_their_height_and_nothing_is_drawn_there_IN_01(tmp_path):
    def without_7_and_8(datasets):
        del datasets[7:9]

    write_dicom_study(tmp_path / "one", ct=without_7_and_8)
    study = checked(tmp_path)
    assert "IN-01" in {fault.id for fault in study.faults}
    (band,) = study.preview.bands
    assert (band.kind, band.axis) == ("missing", 0)
    assert (band.start, band.stop) == (pytest.approx(7 / 14), pytest.approx(9 / 14))
    coronal = plane(study, "coronal")
    height = coronal.grey.shape[0]
    inside = coronal.grey[height - round(8.6 * height / 14) : height - round(7.4 * height / 14)]
    assert not inside.any()
    assert plane(study, "axial").grey.any()
    assert coronal.mask.any()


def test_a_slice_that_is_cut_short_leaves_its_place_open_IN_14(tmp_path):
    torn = write_dicom_study(tmp_path / "one") / "ct" / "slice-005.dcm"
    torn.write_bytes(torn.read_bytes()[:700])
    (band,) = checked(tmp_path).preview.bands
    assert (band.start, band.stop) == (pytest.approx(5 / 14), pytest.approx(6 / 14))


def test_a_double_is_a_line_IN_04(tmp_path):
    def doubled(datasets):
        datasets[6].ImagePositionPatient = datasets[5].ImagePositionPatient

    write_dicom_study(tmp_path / "one", ct=doubled)
    kinds = {band.kind for band in checked(tmp_path).preview.bands}
    assert kinds == {"double", "missing"}


def test_a_tilted_stack_is_drawn_tilted_IN_09(tmp_path):
    def tilted(datasets):
        for k, dataset in enumerate(datasets):
            x, y, z = map(float, dataset.ImagePositionPatient)
            dataset.ImagePositionPatient = [x, y + k * SPACING_ZYX[0] * math.tan(math.radians(30)), z]

    write_dicom_study(tmp_path / "one", ct=tilted, mask=tilted)
    sagittal = plane(checked(tmp_path), "sagittal").grey
    rows, columns = np.nonzero(sagittal > 200)  # bone
    upper, lower = columns[rows < np.median(rows)].mean(), columns[rows > np.median(rows)].mean()
    assert upper - lower > 3  # the head end lies farther back, which is on the right


def test_a_mask_that_is_missing_or_broken_leaves_the_ct_to_be_seen_IN_22(tmp_path):
    for file in (write_dicom_study(tmp_path / "one") / "mask").iterdir():
        file.write_bytes(b"")
    study = checked(tmp_path)
    assert {fault.id for fault in study.faults} == {"IN-14", "IN-22"}
    assert all(plane.mask is None and plane.grey.any() for plane in study.preview.planes)


def test_slices_without_a_place_have_no_picture_and_the_reason_is_said_IN_13(tmp_path):
    def lost(datasets):
        for dataset in datasets:
            del dataset.ImagePositionPatient

    write_dicom_study(tmp_path / "one", ct=lost)
    study = checked(tmp_path)
    assert study.preview is None
    assert study.no_preview


def test_a_torn_volume_file_has_no_picture_IN_16(tmp_path):
    path = write_volume_study(tmp_path / "one", suffix=".nii") / "ct.nii"
    path.write_bytes(path.read_bytes()[:-1000])
    settings = CohortSettings(source="volumes")
    (study,) = studies_of(tmp_path, settings)
    outcome = check_one(study, settings, root=tmp_path, id_key=b"key", pictures=True)
    assert outcome.preview is None
    assert outcome.no_preview


def test_headers_alone_say_the_grid_and_touch_no_voxel(tmp_path):
    study = write_dicom_study(tmp_path / "one")
    spoilt = study / "mask" / "slice-004.dcm"
    content = spoilt.read_bytes()
    spoilt.write_bytes(content[:-1248] + b"\xff" * 1248)  # values that no mask may hold, in a file of the right length
    settings = CohortSettings(source="dicom")
    (files,) = studies_of(tmp_path, settings)
    seen = check_one(files, settings, root=tmp_path, id_key=b"key", headers_only=True)
    assert seen.usable
    assert seen.case is None
    assert seen.grid.shape_zyx == (14, 24, 26)
    assert not check_one(files, settings, root=tmp_path, id_key=b"key").usable


def two_femora_and_a_pelvis(zyx):
    """Values of a right femur (1), a left femur of equal value (1) 62.5 mm beside it, and a pelvis (9) between."""
    values = np.zeros(zyx, np.uint16)
    values[2:12, 8:14, 0], values[2:12, 8:14, 25], values[2:12, 8:14, 10:16] = 1, 1, 9
    return values


@pytest.mark.parametrize(("femur", "ends"), [("all", {0, 2}), ("right", {0}), ("left", {2})])
def test_only_the_wanted_femur_is_outlined(tmp_path, femur, ends):
    write_dicom_study(tmp_path / "one", mask_zyx=two_femora_and_a_pelvis(SHAPE_ZYX))
    axial = plane(checked(tmp_path, femur=femur, labels=LabelMap(femur=(1,), other=(9,))), "axial").mask
    thirds = np.array_split(axial.any(axis=0), 3)  # the patient's right comes first
    assert {k for k, third in enumerate(thirds) if third.any()} == ends


def test_of_a_refused_ct_too_only_the_femur_is_outlined_IN_01(tmp_path):
    def without_7(datasets):
        del datasets[7]

    values = two_femora_and_a_pelvis(SHAPE_ZYX)
    write_dicom_study(tmp_path / "one", ct=without_7, mask_zyx=values)
    axial = plane(checked(tmp_path, labels=LabelMap(femur=(1,), other=(9,))), "axial").mask
    assert [third.any() for third in np.array_split(axial.any(axis=0), 3)] == [True, False, True]


def test_a_drawn_mask_of_a_refused_study_is_outlined(tmp_path):
    ct = ct_slices()
    write_series(tmp_path / "one", ct)
    box = np.array([[7.5, 4.5], [7.5, 11.5], [13.5, 11.5], [13.5, 4.5]])
    made = structure_set(ct, {"Femur": [(k, place_mm(k, box)) for k in range(2, 12)]})
    saved(made, tmp_path / "one" / "rs.dcm")
    settings = CohortSettings(source="dicom")
    (files,) = studies_of(tmp_path, settings)
    paired = dicom_pairs.pair(files, settings, str, "required")
    assert not paired.faults
    refused = refused_preview(files, paired, settings)  # as for a fault found beside a CT and a mask that hold
    assert all(plane.mask.any() for plane in refused.planes)
