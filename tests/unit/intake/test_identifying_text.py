"""Where a patient's name may show is said by its place alone."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from study_maker import ct_slices, write_nifti, write_series

from femseg.intake.identifying_text import header_text_findings


def findings(folder):
    return header_text_findings("study", folder, sorted(path for path in folder.rglob("*") if path.is_file()))


def named(patient_id, name):
    datasets = ct_slices(patient=patient_id)[:2]
    for dataset in datasets:
        dataset.PatientName = name
    return datasets


@pytest.mark.parametrize(
    "place", ["mueller", "2024_Müller_hip", "MUELLER-HANS", "old/mueller's leg", "0815-4711", "scan 0815-4711 b"]
)
def test_a_folder_named_like_the_patient_is_a_finding_SC_10(tmp_path, place):
    write_series(tmp_path / place, named("0815-4711", "Mueller^Hans=Müller^Hans"))
    (finding,) = findings(tmp_path)
    assert finding.id == "SC-10"
    assert finding.problem.startswith(f"the name of {place} holds what its Patient")


@pytest.mark.parametrize("place", ["study07", "108154711", "ct", "anonymous", "hand-scan"])
def test_a_folder_that_says_nothing_is_none(tmp_path, place):
    write_series(tmp_path / place, named("081547", "Han^Anonymous"))
    assert findings(tmp_path) == ()


def test_free_text_of_a_nifti_header_is_a_finding_that_names_the_fields_alone_SC_10(tmp_path):
    path = write_nifti(tmp_path / "ct.nii", np.zeros((4, 4, 4), np.int16))
    image = nib.load(path)
    image.header["descrip"], image.header["aux_file"] = b"Doe^Jane 1944", b"FSL5.0"
    nib.save(image, tmp_path / "told.nii.gz")
    (finding,) = findings(tmp_path)
    assert finding.problem == "the header of told.nii.gz may name a patient, in: descrip"
    assert "Doe" not in str(finding)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_dicom_keys_that_itk_copied_into_a_volume_file_are_a_finding_SC_11(tmp_path, suffix):
    image = sitk.Image(4, 4, 4, sitk.sitkInt16)
    sitk.WriteImage(image, str(tmp_path / f"plain{suffix}"))
    assert findings(tmp_path) == ()
    image.SetMetaData("0010|0010", "Doe^Jane")
    sitk.WriteImage(image, str(tmp_path / f"told{suffix}"))
    (finding,) = findings(tmp_path)
    assert "0010" in finding.problem
    assert "Jane" not in finding.problem


def test_files_that_cannot_be_read_are_left_to_their_check(tmp_path):
    (tmp_path / "torn.dcm").write_bytes(b"\0" * 128 + b"DICMxx")
    (tmp_path / "torn.nii.gz").write_bytes(gzip.compress(b"x" * 100)[:20])
    (tmp_path / "empty.nrrd").write_bytes(b"")
    assert findings(tmp_path) == ()
