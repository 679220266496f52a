import hashlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from femseg.phantom import PhantomSettings, phantom_study, write_phantom_study
from femseg.volumes.grid import VoxelGrid

SETTINGS = PhantomSettings(spacing_mm_zyx=(8.0, 3.7, 3.7), implant_fraction=0.5)


@pytest.fixture(scope="module")
def study():
    return phantom_study(SETTINGS, 2)


@pytest.fixture(scope="module")
def folder(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "case"
    write_phantom_study(study, folder)
    return folder


def read_series(folder):
    reader = sitk.ImageSeriesReader()
    (series,) = reader.GetGDCMSeriesIDs(str(folder))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series))
    return reader.Execute()


def bytes_by_name(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*.dcm")
    }


def same_place(a: VoxelGrid, b: VoxelGrid) -> bool:
    return (
        a.shape_zyx == b.shape_zyx
        and np.allclose(a.spacing_mm_zyx, b.spacing_mm_zyx, atol=1e-9)
        and a.largest_offset_mm(b) < 1e-6
    )


def test_simpleitk_reads_back_exactly_the_hu_the_mask_and_the_geometry(study, folder):
    ct, mask = read_series(folder / "ct"), read_series(folder / "mask")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ct), study.ct.hu_zyx)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), study.femur.femur_zyx)
    assert same_place(VoxelGrid.of_image(ct), study.ct.grid)
    assert same_place(VoxelGrid.of_image(mask), study.ct.grid)


def test_ct_and_mask_are_two_series_of_one_study_patient_and_frame_of_reference(study, folder):
    ct = [pydicom.dcmread(file) for file in sorted((folder / "ct").iterdir())]
    mask = [pydicom.dcmread(file) for file in sorted((folder / "mask").iterdir())]
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert len({slice_[keyword].value for slice_ in ct + mask}) == 1
    assert len({slice_.SeriesInstanceUID for slice_ in ct}) == len({slice_.SeriesInstanceUID for slice_ in mask}) == 1
    assert ct[0].SeriesInstanceUID != mask[0].SeriesInstanceUID
    uids = [slice_.SOPInstanceUID for slice_ in ct + mask]
    assert len(set(uids)) == len(uids) == 2 * study.ct.grid.shape_zyx[0]
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in uids)
    for a, b in zip(ct, mask, strict=True):
        assert a.ImagePositionPatient == b.ImagePositionPatient
        assert a.PixelSpacing == b.PixelSpacing
    assert list(mask[0].ImageType)[:2] == ["DERIVED", "SECONDARY"]


def test_the_header_says_who_the_patient_is_and_how_to_get_hu(study, folder):
    header = pydicom.dcmread(folder / "ct" / "ct-0001.dcm")
    assert (header.PatientSex, header.PatientAge) == (study.facts.sex, f"0{study.facts.age_years}Y")
    assert (header.Modality, header.RescaleSlope, header.RescaleIntercept) == ("CT", 1, -1024)
    assert header.Laterality == {"left": "L", "right": "R"}[study.facts.side]
    assert header.ImagesInAcquisition == study.ct.grid.shape_zyx[0]
    assert not [element.keyword for element in header if element.VR in ("DA", "TM", "DT") and element.value]


def test_the_export_is_byte_identical_on_every_run_and_in_any_cohort_size(study, folder, tmp_path):
    again = phantom_study(PhantomSettings(patients=77, spacing_mm_zyx=(8.0, 3.7, 3.7), implant_fraction=0.5), 2)
    write_phantom_study(again, tmp_path / "again")
    assert bytes_by_name(tmp_path / "again") == bytes_by_name(folder)


def test_an_earlier_export_is_replaced_whole(study, tmp_path):
    folder = tmp_path / "case"
    write_phantom_study(phantom_study(SETTINGS, 3), folder)
    (folder / "ct" / "left-over.dcm").write_bytes(b"of an earlier run")
    write_phantom_study(study, folder)
    assert len(list((folder / "ct").iterdir())) == study.ct.grid.shape_zyx[0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["case"]


def test_different_noise_is_a_different_study():
    a, b = (phantom_study(PhantomSettings(spacing_mm_zyx=(8.0, 4.0, 4.0), noise_hu=n), 0) for n in (10.0, 20.0))
    assert a.fingerprint != b.fingerprint
