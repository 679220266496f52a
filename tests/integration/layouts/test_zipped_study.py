"""Studies as ZIP files: checked, and read again later, without a trace on disk."""

import gzip
import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from study_maker import assert_one_line_refusal, ct_hu, femur_mask, write_dicom_study, write_volume_study

from femseg.cohorts.manifest import Manifest, read_case_ct, read_case_mask, read_manifest, write_manifest
from femseg.cohorts.settings import CohortSettings, CohortSource
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.intake.check import check_cohort
from femseg.intake.cost import LIBRARIES_BYTES, check_memory_bytes
from femseg.intake.result import CheckedCohort
from femseg.intake.single_ct import inspect_study
from femseg.layouts.detect import detected_source
from femseg.layouts.zipped_study import zipped_study


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory, monkeypatch):
    """The folder for temporary files: nothing is left in it, whatever happens."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not any(folder.iterdir())


def check(folder: Path, source: CohortSource) -> CheckedCohort:
    return check_cohort(folder, CohortSettings(source=source), id_key=b"key")


def zip_of(folder: Path, *, inside: str = "") -> Path:
    """`folder.zip` in place of the folder; `inside` puts a folder round the files."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for file in sorted(folder.rglob("*")):
            made.write(file, Path(inside, file.relative_to(folder)))
    shutil.rmtree(folder)
    return path


@pytest.mark.parametrize("inside", ["", "export"])
@pytest.mark.parametrize(("source", "write"), [("dicom", write_dicom_study), ("volumes", write_volume_study)])
def test_a_zipped_study_comes_back_voxel_by_voxel_also_after_the_manifest(tmp_path, source, write, inside):
    path = zip_of(write(tmp_path / "studies" / "1.2.840"), inside=inside)
    assert detected_source(path.parent) == detected_source(path) == source
    cohort = check(path.parent, source)
    assert not cohort.faults, cohort.faults
    write_manifest(Manifest(root="studies", cases=cohort.cases), tmp_path / "manifest.json")
    (case,) = read_manifest(tmp_path / "manifest.json").cases
    assert case.ct.archive == case.mask.archive
    assert case.ct.archive.path == "1.2.840.zip"
    np.testing.assert_array_equal(read_case_ct(case, path.parent).hu_zyx, ct_hu().astype(np.float32))
    np.testing.assert_array_equal(read_case_mask(case, path.parent).femur_zyx, femur_mask())


def test_a_zip_has_the_ids_and_the_facts_of_its_folder(tmp_path):
    write_dicom_study(tmp_path / "studies" / "one")
    (folder_case,) = check(tmp_path / "studies", "dicom").cases
    zip_of(tmp_path / "studies" / "one")
    (case,) = check(tmp_path / "studies", "dicom").cases
    sources = {"ct": folder_case.ct, "mask": folder_case.mask}
    assert replace(case, **sources) == folder_case


def test_folders_and_zips_lie_side_by_side_and_one_study_in_both_is_found_IN_23(tmp_path):
    for seed, name in enumerate(("one", "two")):
        write_dicom_study(tmp_path / name, seed=seed)
    shutil.copytree(tmp_path / "two", tmp_path / "two again")
    zip_of(tmp_path / "two again")
    cohort = check(tmp_path, "dicom")
    assert len(cohort.cases) == 2
    assert_one_line_refusal(cohort.faults, "IN-23", "two again.zip", f"{tmp_path / 'two'}")


def test_faults_within_a_zip_name_the_archive_and_the_file_in_it_IN_14(tmp_path):
    study = write_dicom_study(tmp_path / "one")
    (study / "ct/slice-005.dcm").write_bytes(b"")
    zip_of(study)
    faults = check(tmp_path, "dicom").faults
    assert [fault.id for fault in faults] == ["IN-14", "IN-01", "IN-03"]
    assert faults[0].file == f"{tmp_path}/one.zip/ct/slice-005.dcm"
    assert {fault.file for fault in faults[1:]} == {f"{tmp_path}/one.zip/ct"}


def test_files_beside_the_study_in_a_zip_are_listed_by_the_archive(tmp_path):
    study = write_volume_study(tmp_path / "one")
    (study / "notes.txt").write_text("drawn twice")
    zip_of(study)
    assert check(tmp_path, "volumes").ignored == (f"{tmp_path}/one.zip/notes.txt",)


def test_an_archive_within_a_study_is_never_passed_over_IN_12(tmp_path):
    zip_of(write_volume_study(tmp_path / "backup"))
    write_volume_study(tmp_path)
    cohort = check(tmp_path, "volumes")
    assert (cohort.cases, cohort.ignored) == ((), ())
    assert_one_line_refusal(cohort.faults, "IN-12", "backup.zip", "archive inside a study")


@pytest.mark.parametrize("name", ["b/study.zip", "b/study.tar.gz"])
def test_an_archive_one_folder_down_is_named_and_the_study_beside_it_is_good_IN_12(tmp_path, name):
    write_dicom_study(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / name).write_bytes(b"PK")
    cohort = check(tmp_path, "dicom")
    assert len(cohort.cases) == 1
    assert_one_line_refusal(cohort.faults, "IN-12", name, "put the ZIP beside")


@pytest.mark.parametrize("inside", ["", "Dataset001"])
def test_a_zip_of_a_whole_dataset_is_to_be_unpacked_first_IN_12(tmp_path, inside):
    study = write_volume_study(tmp_path / "one")
    (study / "dataset.json").write_text("{}")
    path = zip_of(study, inside=inside)
    assert_one_line_refusal(check(path, "volumes").faults, "IN-12", "one.zip", "unpack it first")


@pytest.mark.parametrize("name", ["p2.nii.gz", "p2_mask.nrrd"])
def test_a_loose_volume_file_beside_dicom_studies_is_never_passed_over_IN_05(tmp_path, name):
    write_dicom_study(tmp_path / "a")
    (tmp_path / name).write_bytes(b"")
    assert detected_source(tmp_path) == "dicom"
    cohort = check(tmp_path, "dicom")
    assert len(cohort.cases) == 1
    assert_one_line_refusal(cohort.faults, "IN-05", name, "--source volumes")


def test_a_packed_slice_is_never_dropped_IN_14(tmp_path):
    study = write_dicom_study(tmp_path / "a")
    last = max((study / "ct").iterdir())
    Path(f"{last}.gz").write_bytes(gzip.compress(last.read_bytes()))
    last.unlink()
    assert_one_line_refusal(check(tmp_path, "dicom").faults[:1], "IN-14", f"{last.name}.gz", "unpack it")


def test_what_macos_adds_to_a_zip_is_passed_over(tmp_path):
    path = zip_of(write_volume_study(tmp_path / "one"), inside="one")
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("__MACOSX/one/._ct.nii.gz", b"\0\5\x16\7")
        made.writestr("one/.DS_Store", b"Bud1")
    cohort = check(tmp_path, "volumes")
    assert (len(cohort.cases), cohort.ignored) == (1, ())


def test_one_bad_archive_is_a_fault_of_that_study_alone_SC_07(tmp_path):
    write_volume_study(tmp_path / "good")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as made:
        made.writestr("../../ct.nii.gz", b"")
    (tmp_path / "other.tar.gz").write_bytes(b"\x1f\x8b")
    cohort = check(tmp_path, "volumes")
    assert len(cohort.cases) == 1
    bad, other = cohort.faults
    assert_one_line_refusal((bad,), "SC-07", "bad.zip/../../ct.nii.gz", exit_code=ExitCode.SECURITY)
    assert_one_line_refusal((other,), "IN-12", "other.tar.gz", "pack it as ZIP")


def test_an_archive_that_changed_since_its_check_is_refused_at_reading_ST_05(tmp_path):
    path = zip_of(write_volume_study(tmp_path / "one"))
    (case,) = check(tmp_path, "volumes").cases
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("more.txt", b"")
    with pytest.raises(Refusal, match=r"ST-05: .*one\.zip: is not the file that was checked") as refusal:
        read_case_ct(case, tmp_path)
    assert refusal.value.exit_code == ExitCode.INTEGRITY


@pytest.mark.parametrize(("source", "write"), [("dicom", write_dicom_study), ("volumes", write_volume_study)])
def test_a_zip_can_be_looked_at_by_itself(tmp_path, source, write):
    path = zip_of(write(tmp_path / "one"))
    cohort = check(path, source)
    assert not cohort.faults, cohort.faults
    assert [case.ct.archive.path for case in cohort.cases] == ["one.zip"]
    case, ct = inspect_study(path, id_key=b"key")
    assert case.ct == cohort.cases[0].ct
    np.testing.assert_array_equal(ct.hu_zyx, ct_hu().astype(np.float32))


def test_a_zip_with_one_volume_of_any_name_can_be_inspected(tmp_path):
    study = write_volume_study(tmp_path / "one")
    (study / "mask.nii.gz").unlink()
    (study / "ct.nii.gz").rename(study / "thigh 4.nii.gz")
    _, ct = inspect_study(zip_of(study), id_key=b"key")
    np.testing.assert_array_equal(ct.hu_zyx, ct_hu().astype(np.float32))


def test_a_zip_without_a_ct_is_refused_by_its_name_IN_05(tmp_path):
    study = write_volume_study(tmp_path / "one")
    (study / "ct.nii.gz").unlink()
    with pytest.raises(Refusal) as refusal:
        inspect_study(zip_of(study), id_key=b"key")
    assert_one_line_refusal(refusal.value.faults, "IN-05", "one.zip")


def test_the_memory_of_a_zipped_study_is_estimated_from_what_it_declares(tmp_path):
    write_dicom_study(tmp_path / "one")
    path = zip_of(tmp_path / "one")
    voxels = ct_hu().size
    need = check_memory_bytes(zipped_study(path)) - LIBRARIES_BYTES
    assert 20 * voxels <= need <= 80 * voxels  # CT and mask count as one volume, and each small slice has a header
    path.write_bytes(b"torn")
    assert check_memory_bytes(zipped_study(path)) == LIBRARIES_BYTES
