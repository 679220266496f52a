"""DICOM studies made wrong in one way each: refused by the contract, with the file, the numbers and a fix."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, RLELossless, generate_uid
from study_maker import (
    SHAPE_ZYX,
    assert_one_line_refusal,
    ct_slices,
    femur_mask,
    write_dicom_study,
    write_nifti,
    write_series,
)

from femseg.cohorts.check import CheckedCohort, check_cohort
from femseg.cohorts.settings import CohortSettings, LabelMap
from femseg.errors import ExitCode, Refusal


def check(folder: Path, **settings: object) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source="dicom", **settings), id_key=b"key")  # type: ignore[arg-type]


def move(dataset: Dataset, *offset_mm: float) -> None:
    dataset.ImagePositionPatient = [a + b for a, b in zip(dataset.ImagePositionPatient, offset_mm, strict=True)]


def renumber(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.ImagesInAcquisition = len(datasets)


def drop_middle(datasets: list[Dataset]) -> None:
    del datasets[6]
    renumber(datasets)


def drop_last(datasets: list[Dataset]) -> None:
    del datasets[-1]


def spread_upper_half(datasets: list[Dataset]) -> None:
    for k, dataset in enumerate(datasets[7:], start=1):
        move(dataset, 0, 0, 8.0 * k)


def shift_one_by_a_millimetre(datasets: list[Dataset]) -> None:
    move(datasets[5], 0, 0, 1.0)


def double_with_other_pixels(datasets: list[Dataset]) -> None:
    twin = ct_slices()[5]
    twin.PixelData = bytes(reversed(datasets[5].PixelData))
    twin.SeriesInstanceUID, twin.StudyInstanceUID = datasets[5].SeriesInstanceUID, datasets[5].StudyInstanceUID
    twin.FrameOfReferenceUID = datasets[5].FrameOfReferenceUID
    datasets.append(twin)


def two_patients(datasets: list[Dataset]) -> None:
    datasets[9].PatientID = "SECRET-99"


def two_studies(datasets: list[Dataset]) -> None:
    datasets[9].StudyInstanceUID = generate_uid()


def two_frames(datasets: list[Dataset]) -> None:
    datasets[9].FrameOfReferenceUID = generate_uid()


def add_turned(datasets: list[Dataset]) -> None:
    for dataset in datasets[4:8]:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def smaller_last(datasets: list[Dataset]) -> None:
    datasets[-1].Rows -= 4
    datasets[-1].PixelData = datasets[-1].PixelData[: -4 * 2 * SHAPE_ZYX[2]]


def other_pixel_spacing(datasets: list[Dataset]) -> None:
    for dataset in datasets[7:]:
        dataset.PixelSpacing = [3.3, 2.5]


def tilt(datasets: list[Dataset]) -> None:
    for k, dataset in enumerate(datasets):
        move(dataset, 0, k * 4.0 * np.tan(np.radians(15)), 0)


def one_beside(datasets: list[Dataset]) -> None:
    move(datasets[5], 5.0, 0, 0)


def without(tag: str) -> Callable[[list[Dataset]], None]:
    def remove(datasets: list[Dataset]) -> None:
        delattr(datasets[3], tag)

    return remove


def all_with(tag: str, value: object) -> Callable[[list[Dataset]], None]:
    def change(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            setattr(dataset, tag, value)

    return change


def one_with(tag: str, value: object) -> Callable[[list[Dataset]], None]:
    def change(datasets: list[Dataset]) -> None:
        setattr(datasets[3], tag, value)

    return change


def only_one(datasets: list[Dataset]) -> None:
    del datasets[1:]
    renumber(datasets)


def raw_as_hounsfield(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.RescaleIntercept = 0


WRONG_CTS = [
    pytest.param(
        drop_middle, "IN-01", ["8.00 mm between slice-005.dcm and slice-006.dcm, expected 4.00"], id="IN-01 gap"
    ),
    pytest.param(spread_upper_half, "IN-02", ["4 to 12 mm"], id="IN-02 two spacings"),
    pytest.param(shift_one_by_a_millimetre, "IN-02", ["3 to 5 mm", "slice-00"], id="IN-02 one slice shifted"),
    pytest.param(drop_last, "IN-03", ["13 slices", "says 14"], id="IN-03 last slice missing"),
    pytest.param(
        double_with_other_pixels,
        "IN-04",
        ["slice-014.dcm", "slice-005.dcm", "other pixels"],
        id="IN-04 two at one place",
    ),
    pytest.param(two_patients, "IN-06", ["2 values of PatientID", "(1 slices)"], id="IN-06 two patients"),
    pytest.param(two_studies, "IN-06", ["2 values of StudyInstanceUID"], id="IN-06 two studies"),
    pytest.param(two_frames, "IN-06", ["2 values of FrameOfReferenceUID"], id="IN-06 two frames of reference"),
    pytest.param(smaller_last, "IN-08", ["slice-013.dcm", "20 rows × 26 columns", "24 × 26"], id="IN-08 size changes"),
    pytest.param(other_pixel_spacing, "IN-08", ["slice-007.dcm", "3.3"], id="IN-08 pixel spacing changes"),
    pytest.param(tilt, "IN-09", ["15.0°"], id="IN-09 gantry tilt"),
    pytest.param(one_beside, "IN-09", ["slice-005.dcm", "5.00 mm beside"], id="IN-09 one slice shifted sideways"),
    pytest.param(without("RescaleSlope"), "IN-10", ["RescaleSlope", "slice-003.dcm", "missing"], id="IN-10 no slope"),
    pytest.param(without("RescaleIntercept"), "IN-10", ["RescaleIntercept", "slice-003.dcm"], id="IN-10 no intercept"),
    pytest.param(all_with("RescaleSlope", 0), "IN-10", ["RescaleSlope", "is 0", "14 of 14"], id="IN-10 slope 0"),
    pytest.param(raw_as_hounsfield, "IN-11", ["lie below"], id="IN-11 raw numbers as HU"),
    pytest.param(
        all_with("PhotometricInterpretation", "MONOCHROME1"),
        "IN-12",
        ["MONOCHROME1", "slice-000.dcm"],
        id="IN-12 inverted",
    ),
    pytest.param(all_with("Modality", "MR"), "IN-12", ["Modality", "MR"], id="IN-12 MR"),
    pytest.param(without("ImagePositionPatient"), "IN-13", ["(0020,0032)", "slice-003.dcm"], id="IN-13 no IPP"),
    pytest.param(
        without("ImageOrientationPatient"), "IN-13", ["ImageOrientationPatient", "slice-003.dcm"], id="IN-13 no IOP"
    ),
    pytest.param(without("PixelSpacing"), "IN-13", ["PixelSpacing", "slice-003.dcm"], id="IN-13 no PixelSpacing"),
    pytest.param(
        without("SeriesInstanceUID"), "IN-13", ["SeriesInstanceUID", "slice-003.dcm"], id="IN-13 no SeriesInstanceUID"
    ),
    pytest.param(
        all_with("ImagePositionPatient", [1, 2, 3]), "IN-13", ["all 14 slices", "(1, 2, 3) mm"], id="IN-13 one position"
    ),
    pytest.param(only_one, "IN-13", ["single slice", "slice-000.dcm"], id="IN-13 single slice"),
    pytest.param(
        all_with("ImageOrientationPatient", [1, 0, 0, 0.2, 1, 0]), "IN-13", ["perpendicular"], id="IN-13 skewed IOP"
    ),
    pytest.param(all_with("PixelSpacing", [0.003, 0.0025]), "IN-19", ["0.003 × 0.0025 mm"], id="IN-19 metres"),
    pytest.param(one_with("BurnedInAnnotation", "YES"), "SC-13", ["burned"], id="SC-13 burned-in text"),
]


@pytest.mark.parametrize(("change", "fault_id", "says"), WRONG_CTS)
def test_a_ct_series_with_a_fault_is_refused_in_one_line(tmp_path, change, fault_id, says):
    study = write_dicom_study(tmp_path / "study", ct=change)
    faults = [fault for fault in check(tmp_path).faults if fault.id != "IN-20"]  # the mask no longer fits, too
    if fault_id == "IN-19":
        faults = faults[:1]  # spacing and extent are both out of bounds
    assert_one_line_refusal(tuple(faults), fault_id, str(study / "ct"), *says)


def test_slices_oriented_unlike_the_rest_are_refused_IN_07(tmp_path):
    study = write_dicom_study(tmp_path / "study", ct=add_turned)
    faults = check(tmp_path).faults
    assert [fault.id for fault in faults] == ["IN-07", "IN-01"]
    assert str(study / "ct" / "slice-004.dcm") in str(faults[0])


def test_hashed_ids_stand_for_patients_in_messages_IN_06(tmp_path):
    write_dicom_study(tmp_path / "study", ct=two_patients)
    assert "SECRET" not in str(check(tmp_path).faults[0])


def test_several_series_are_shown_in_a_table_and_one_can_be_chosen_IN_05(tmp_path):
    study = write_dicom_study(tmp_path / "study", mask=all_with("FrameOfReferenceUID", ""))
    second = ct_slices()
    for dataset in second:
        dataset.SeriesDescription, dataset.ImagesInAcquisition = "Sharp kernel", 14
    write_series(study / "second", second)
    faults = check(tmp_path).faults
    uid = str(second[0].SeriesInstanceUID)
    assert_one_line_refusal(
        faults, "IN-05", str(study), "2 CT series", uid, "Sharp kernel, 14 images, 4 mm", "--series"
    )
    chosen = check(tmp_path, series=(uid,))
    assert not chosen.faults
    assert all(file.path.startswith("study/second/") for file in chosen.cases[0].ct.files)


def cut(path: Path, keep: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        pytest.param(0.0, "is empty", id="IN-14 zero bytes"),
        pytest.param(0.2, "before its pixel data", id="IN-14 cut in the header"),
        pytest.param(0.9, "is cut short", id="IN-14 cut in the pixels"),
        pytest.param(0.999, "is cut short", id="IN-14 cut by a byte or two"),
    ],
)
def test_a_torn_slice_is_named_and_never_dropped(tmp_path, keep, says):
    study = write_dicom_study(tmp_path / "study")
    torn = study / "ct" / "slice-013.dcm"
    cut(torn, keep)
    faults = tuple(fault for fault in check(tmp_path).faults if fault.id == "IN-14")
    assert_one_line_refusal(faults, "IN-14", str(torn), says)


def test_a_slice_that_is_no_dicom_file_is_named_IN_14(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    (study / "ct" / "slice-014.dcm").write_bytes(b"not found\n" * 40)
    assert_one_line_refusal(check(tmp_path).faults, "IN-14", "slice-014.dcm", "no DICOM file (400 bytes")


def test_a_torn_slice_without_suffix_is_found_among_its_like_IN_14(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    for path in (study / "ct").iterdir():
        path.rename(path.with_suffix(""))
    (study / "ct" / "slice-014").write_bytes(b"")
    assert_one_line_refusal(check(tmp_path).faults, "IN-14", str(study / "ct" / "slice-014"), "is empty")


def test_rows_that_lie_about_the_pixels_are_refused_IN_14(tmp_path):
    study = write_dicom_study(tmp_path / "study", ct=one_with("Rows", 65535))
    faults = tuple(fault for fault in check(tmp_path).faults if fault.id == "IN-14")
    assert_one_line_refusal(faults, "IN-14", str(study / "ct" / "slice-003.dcm"), "65535 rows × 26 columns")


def encapsulated(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.PixelData = encapsulate([dataset.PixelData])
        dataset["PixelData"].is_undefined_length = True


def test_a_transfer_syntax_that_is_not_read_is_named_once_IN_12(tmp_path):
    study = write_dicom_study(tmp_path / "study", mask=all_with("FrameOfReferenceUID", ""))
    datasets = ct_slices()
    encapsulated(datasets)
    write_series(study / "ct", datasets, syntax=MPEG2MPML)
    faults = check(tmp_path).faults
    assert_one_line_refusal(faults, "IN-12", str(study / "ct" / "slice-000.dcm"), "MPEG2", "14 of 14")


def test_compressed_pixels_that_break_off_are_refused_IN_14(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    torn = study / "ct" / "slice-013.dcm"
    dataset = pydicom.dcmread(torn)
    dataset.compress(RLELossless)
    dataset.save_as(torn)
    torn.write_bytes(torn.read_bytes()[:-8])  # the sequence delimiter
    assert_one_line_refusal(check(tmp_path).faults[:1], "IN-14", str(torn), "compressed pixel data do not end")


def test_a_dangling_link_is_refused_by_name_IN_26(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    (study / "ct" / "new\nline\x1b[31m.dcm").symlink_to(tmp_path / "gone.dcm")
    assert_one_line_refusal(check(tmp_path).faults, "IN-26", r"new\nline\x1b[31m.dcm", "No such file")


def whole_mask(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.PixelData = np.ones(SHAPE_ZYX[1:], "<u2").tobytes()


def empty_mask(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.PixelData = bytes(len(dataset.PixelData))


WRONG_MASKS = [
    pytest.param(drop_middle, "IN-01", ["slice-005.dcm"], id="IN-01 gap in the mask"),
    pytest.param(
        lambda mask: [move(one, 1.0, 0, 0) for one in mask],
        "IN-20",
        ["origin mm (-29, -40, 100), CT (-30,"],
        id="IN-20 origin",
    ),
    pytest.param(
        all_with("PixelSpacing", [3.0, 2.6]), "IN-20", ["spacing mm (4, 3, 2.6), CT (4, 3, 2.5)"], id="IN-20 spacing"
    ),
    pytest.param(
        all_with("ImageOrientationPatient", [0.9998, 0.02, 0, -0.02, 0.9998, 0]),
        "IN-20",
        ["direction"],
        id="IN-20 direction",
    ),
    pytest.param(empty_mask, "IN-22", ["is empty"], id="IN-22 empty"),
    pytest.param(whole_mask, "IN-22", ["no background"], id="IN-22 all ones"),
    pytest.param(all_with("RescaleSlope", 255), "IN-22", ["0, 255"], id="IN-22 value 255"),
    pytest.param(all_with("RescaleSlope", 0.5), "IN-22", ["no whole numbers: 0, 0.5"], id="IN-22 not whole"),
]


@pytest.mark.parametrize(("change", "fault_id", "says"), WRONG_MASKS)
def test_a_mask_series_with_a_fault_is_refused_in_one_line(tmp_path, change, fault_id, says):
    study = write_dicom_study(tmp_path / "study", mask=change)
    assert_one_line_refusal(check(tmp_path).faults, fault_id, str(study / "mask"), *says)


@pytest.mark.parametrize("tag", ["PatientID", "FrameOfReferenceUID"])
def test_a_mask_of_another_patient_or_frame_on_an_equal_grid_is_refused_by_hashed_ids_IN_06(tmp_path, tag):
    study = write_dicom_study(tmp_path / "study", mask=all_with(tag, "1.2.3.999"))
    (fault,) = check(tmp_path).faults
    assert_one_line_refusal((fault,), "IN-06", str(study / "mask"), f"its {tag} is", "(hashed)")
    assert not {"1.2.3.999", "PATIENT-7"} & set(str(fault).replace(",", " ").split())


@pytest.mark.parametrize("tag", ["PatientID", "FrameOfReferenceUID"])
def test_a_mask_that_leaves_out_whose_it_is_is_taken_IN_06(tmp_path, tag):
    write_dicom_study(tmp_path / "study", mask=all_with(tag, ""))
    assert not check(tmp_path).faults


def test_a_mask_with_fewer_slices_is_refused_with_both_sizes_IN_20(tmp_path):
    write_dicom_study(tmp_path / "study", mask=lambda mask: mask.pop())
    assert_one_line_refusal(check(tmp_path).faults, "IN-20", "size (13, 24, 26), CT (14, 24, 26)")


def test_a_mask_flipped_left_to_right_shows_by_density_IN_21(tmp_path):
    flipped = femur_mask()[:, :, ::-1].astype(np.uint16)
    write_dicom_study(tmp_path / "study", mask_zyx=np.roll(flipped, -2, axis=2))
    assert_one_line_refusal(check(tmp_path).faults, "IN-21", "HU inside the mask", "5 mm round it")


def test_unexplained_mask_values_are_listed_and_a_label_map_explains_them_IN_22(tmp_path):
    values = femur_mask().astype(np.uint16) * 3
    values[12, 20, 20] = 7
    write_dicom_study(tmp_path / "study", mask_zyx=values)
    assert_one_line_refusal(check(tmp_path).faults, "IN-22", "holds 0, 3, 7", "cohort.labels")
    partly = check(tmp_path, labels=LabelMap(femur=(3,)))
    assert_one_line_refusal(partly.faults, "IN-22", "0, 3, 7", "explains [3]")
    cohort = check(tmp_path, labels=LabelMap(femur=(3,), other=(7,)))
    assert not cohort.faults
    assert cohort.cases[0].mask.labels == (3,)


def test_a_study_without_mask_is_refused_for_training_alone_IN_22(tmp_path):
    study = tmp_path / "study"
    write_series(study, ct_slices())
    assert_one_line_refusal(check(tmp_path).faults, "IN-22", str(study), "has no mask")
    cohort = check_cohort(tmp_path, CohortSettings(source="dicom"), id_key=b"key", masks="ignored")
    assert cohort.cases[0].mask is None


def test_a_study_with_two_masks_is_refused_and_the_wanted_one_can_be_named_IN_05(tmp_path):
    study = write_dicom_study(tmp_path / "study")
    write_nifti(study / "label.nii.gz", femur_mask().astype(np.uint8))
    assert_one_line_refusal(check(tmp_path).faults, "IN-05", "2 masks", "label.nii.gz", "cohort.mask")
    named = check(tmp_path, mask="label.nii.gz")
    assert not named.faults
    assert named.cases[0].mask.kind == "volume"


def test_the_same_study_under_two_names_is_refused_naming_both_IN_23(tmp_path):
    write_dicom_study(tmp_path / "anna", patient="A")
    write_dicom_study(tmp_path / "berta", patient="B")
    cohort = check(tmp_path)
    assert_one_line_refusal(cohort.faults, "IN-23", str(tmp_path / "berta"), f"same study as {tmp_path / 'anna'}")
    assert len(cohort.cases) == 1


def test_all_faulty_studies_are_reported_in_one_pass_and_good_ones_stay_usable_IN_27(tmp_path):
    wrong = {"a": drop_middle, "c": tilt, "e": two_patients}
    for seed, name in enumerate("abcdef"):
        write_dicom_study(tmp_path / name, ct=wrong.get(name), seed=seed, patient=name)
    cut(tmp_path / "f" / "mask" / "slice-000.dcm", 0.5)
    cohort = check(tmp_path)
    assert {Path(fault.file).relative_to(tmp_path).parts[0] for fault in cohort.faults} == {"a", "c", "e", "f"}
    assert len(cohort.cases) == 2
    with pytest.raises(Refusal) as refusal:
        cohort.refuse_faults()
    assert refusal.value.exit_code == ExitCode.INPUT_REFUSED


def test_ct_and_mask_faults_of_one_study_come_together(tmp_path):
    write_dicom_study(tmp_path / "study", ct=without("RescaleSlope"), mask=drop_middle)
    assert [fault.id for fault in check(tmp_path).faults] == ["IN-10", "IN-01"]


def test_a_missing_folder_is_a_usage_error_and_an_empty_one_an_input_error(tmp_path):
    with pytest.raises(Refusal) as missing:
        check(tmp_path / "nowhere")
    assert missing.value.exit_code == ExitCode.USAGE
    with pytest.raises(Refusal) as empty:
        check(tmp_path)
    assert empty.value.exit_code == ExitCode.INPUT_REFUSED


def test_a_mask_modality_or_missing_rescaling_is_no_fault(tmp_path):
    def bare(mask: list[Dataset]) -> None:
        for one in mask:
            del one.RescaleSlope, one.RescaleIntercept

    write_dicom_study(tmp_path / "study", mask=bare)
    assert not check(tmp_path).faults
