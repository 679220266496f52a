"""SC-10: thirty texts planted in every slice's header; none may come out of intake, in files, names or on a terminal.

What users call their own folders and files is theirs, stands in messages by design, and is left out here.
"""

import json
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from study_maker import write_dicom_study
from tiny_model import JUDGED, write_tiny_package
from tiny_project import ROOT, environment
from typer.testing import CliRunner, Result

from femseg.cli.main import app

DRIVER = Path(__file__).with_name("stage_driver.py")
TAGS = """PatientName PatientID OtherPatientNames PatientBirthName PatientMotherBirthName PatientAddress PatientComments
PatientTelephoneNumbers MilitaryRank EthnicGroup Occupation MedicalRecordLocator AdditionalPatientHistory
AccessionNumber StudyID StudyDescription SeriesDescription ProtocolName InstitutionName InstitutionAddress
InstitutionalDepartmentName
ReferringPhysicianName PerformingPhysicianName OperatorsName NameOfPhysiciansReadingStudy StationName
DeviceSerialNumber RequestingPhysician ImageComments RequestedProcedureDescription"""
CANARY = "Kanari"
SUFFIXES = (".nii", ".nrrd", ".mha")


def planted(datasets):
    for dataset in datasets:
        for number, tag in enumerate(TAGS.split()):
            setattr(dataset, tag, f"{CANARY}{number:02d}")


def cohort_and_arrays(project: Path) -> subprocess.CompletedProcess[str]:
    """Both stages in one process, which starts Ray once."""
    return subprocess.run(
        [sys.executable, str(DRIVER), "--kind=raw", str(project)],
        cwd=project,
        env=environment(ROOT) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        capture_output=True,
        text=True,
        timeout=240,
    )


def femseg(project: Path, *words: str) -> Result:
    with chdir(project):
        return CliRunner().invoke(app, list(words))


@pytest.fixture(scope="module")
def after(tmp_path_factory) -> tuple[Path, str]:
    """A project in which intake, arrays, check and segment have run on planted studies, and all that they printed."""
    project = tmp_path_factory.mktemp("planted")
    for number in range(2):
        write_dicom_study(project / "source" / f"study{number}", ct=planted, mask=planted, seed=number)
    bad = write_dicom_study(project / "faulty" / "study", ct=planted, mask=planted, seed=7)
    (bad / "ct" / "slice-004.dcm").unlink()
    arrays = {"shape_zyx": [16, 16, 16]}
    params = {"cohort": {"source": "dicom", "folder": "source"}, "phantom": {}, "arrays": arrays}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    write_tiny_package(project / "package")
    stages = cohort_and_arrays(project)
    assert stages.returncode == 0, stages
    calls = {
        ("check", "source", "--html", "check.html", "--json"): 0,
        ("check", "faulty", "--quarantine", "quarantine.json", "--html", "faulty.html"): 3,
        ("check", "faulty", "--headers"): 3,
    }
    answers = [femseg(project, *words) for words in calls]
    assert [done.exit_code for done in answers] == list(calls.values()), answers
    for end in SUFFIXES:
        words = ("segment", "source/study0/ct", "-o", f"mask{end}", "--model", "package", "--write-rejected")
        answers.append(femseg(project, *words))
        assert answers[-1].exit_code in JUDGED, answers[-1]
    return project, "".join(done.stdout + done.stderr for done in (stages, *answers))


def test_thirty_texts_were_planted_in_every_slice(after):
    project, _ = after
    assert len(TAGS.split()) == 30
    raw = (project / "source/study0/ct/slice-003.dcm").read_bytes()
    assert all(f"{CANARY}{number:02d}".encode() in raw for number in range(30))


def test_no_planted_text_is_printed_SC_10(after):
    assert CANARY.casefold() not in after[1].casefold()


def test_no_planted_text_is_in_a_file_or_its_name_SC_10_G13(after):
    project, _ = after
    made = [path for path in project.rglob("*") if path.is_file() and not {"source", "faulty"} & set(path.parts)]
    names = {path.relative_to(project).parts[0] for path in made}
    assert {"data", "check.html", "faulty.html", "quarantine.json", "mask.nii", "mask.nrrd", "mask.mha"} <= names
    assert [path for path in made if CANARY.casefold() in path.name.casefold()] == []
    assert [path for path in made if CANARY.casefold().encode() in path.read_bytes().lower()] == []


def test_masks_written_from_dicom_carry_no_dicom_key_SC_11(after):
    project, _ = after
    for suffix in (".nrrd", ".mha"):
        head = (project / f"mask{suffix}").read_bytes()[:4000]
        assert b"0010|" not in head
        assert b"Patient" not in head


def test_a_folder_with_the_patients_name_is_found_and_the_name_itself_not_repeated_SC_10(after, tmp_path):
    write_dicom_study(tmp_path / "source" / "kanari00_left", ct=planted)
    said = json.loads(femseg(tmp_path, "check", "source", "--no-masks", "--json").stdout)
    (finding,) = (finding for finding in said["findings"] if finding["id"] == "SC-10")
    assert finding["problem"].startswith("the name of kanari00_left holds what its Patient")
    assert CANARY not in json.dumps(said)
