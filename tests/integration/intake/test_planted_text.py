"""Thirty header texts that tell of a person, planted in every slice: none comes out."""

import re

import pytest
from specimens.catalogue import BY_KIND
from specimens.planted_text import PLANTED
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.cohorts.manifest import read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.formats.writing import write_mask
from femseg.intake.check import check_cohort


@pytest.fixture
def study(tmp_path):
    BY_KIND["planted-text"].make(tmp_path / "cohort")
    return tmp_path / "cohort"


def test_the_text_is_really_planted(study):
    written = b"".join(path.read_bytes() for path in study.rglob("*.dcm"))
    assert len(set(re.findall(rb"PLANTED\d\d", written))) == len(PLANTED) == 30


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_no_header_text_of_a_study_reaches_the_report_SC_10(study, words):
    done = CliRunner().invoke(app, ["check", str(study), *words])
    assert done.exit_code == 0, done.output
    assert "PLANTED" not in done.output


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii"])
def test_a_volume_file_written_from_dicom_carries_no_dicom_key_SC_11(study, tmp_path, suffix):
    (case,) = check_cohort(study, CohortSettings(source="dicom"), id_key=b"key").cases
    path = tmp_path / f"mask{suffix}"
    write_mask(path, read_case_mask(case, study))
    written = path.read_bytes()
    assert b"PLANTED" not in written
    assert re.findall(rb"[0-9a-f]{4}\|[0-9a-f]{4}", written) == []
