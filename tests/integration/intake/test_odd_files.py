"""What lies in a cohort's folder need not be a file, nor have a name that can be written down (IN-26)."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from layout_maker import write_totalsegmentator_study
from study_maker import write_dicom_study, write_volume_study

from femseg.cohorts.settings import CohortSettings
from femseg.errors import Refusal
from femseg.intake.check import check_cohort
from femseg.intake.cost import check_memory_bytes
from femseg.intake.result import CheckedCohort
from femseg.layouts.detect import studies_of


def checked(folder: Path, source: str) -> CheckedCohort:
    settings = CohortSettings(source=source)  # type: ignore[arg-type]
    for study in studies_of(folder, settings):
        check_memory_bytes(study)
    return check_cohort(folder, settings, id_key=b"key")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path has 108 bytes at most
        one.bind(path.name)
        os.chdir(here)


IN_PLACE: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (os.mkfifo, "is a pipe"),
    "socket": (_socket, "No such device or address"),
    "dangling link": (lambda path: path.symlink_to("gone"), "No such file or directory"),
    "link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "folder": (lambda path: path.mkdir(), "is a folder where a file is meant"),
    "link to a folder": (lambda path: path.symlink_to("/usr"), "folder"),
}


@pytest.mark.parametrize("kind", IN_PLACE)
@pytest.mark.parametrize(
    ("source", "name"),
    [("dicom", "ct/slice-005.dcm"), ("volumes", "ct.nii.gz"), ("volumes", "ct.nrrd"), ("volumes", "ct.npy")],
)
@pytest.mark.timeout(60)
def test_what_is_no_file_is_named_and_never_waited_for_IN_26(tmp_path, kind, source, name):
    write = write_dicom_study if source == "dicom" else write_volume_study
    study = write(tmp_path / "study")
    (study / "ct.nii.gz").unlink(missing_ok=True)
    (study / name).unlink(missing_ok=True)
    make, says = IN_PLACE[kind]
    make(study / name)
    found = [fault for fault in checked(tmp_path, source).faults if fault.file == str(study / name)]
    assert [(fault.id, int(fault.exit_code)) for fault in found] == [("IN-26", 3)]
    assert says in found[0].problem


@pytest.mark.parametrize("source", ["dicom", "volumes"])
def test_a_linked_folder_inside_a_study_is_named_instead_of_passed_over_IN_26(tmp_path, source):
    write = write_dicom_study if source == "dicom" else write_volume_study
    write(tmp_path / "cohort" / "study")
    (tmp_path / "more").mkdir()
    (tmp_path / "cohort" / "study" / "more").symlink_to(tmp_path / "more")
    (fault,) = checked(tmp_path / "cohort", source).faults
    assert (fault.id, Path(fault.file).name) == ("IN-26", "more")


@pytest.mark.parametrize("source", ["dicom", "volumes"])
def test_names_in_any_script_are_taken_as_they_are(tmp_path, source):
    write = write_dicom_study if source == "dicom" else write_volume_study
    study = write(tmp_path / "膝 🦴 Ölçüm %2e $(x) ..")
    for path in [p for p in study.rglob("*.dcm") if "ct" in p.parts]:
        path.rename(path.with_name("ß" * 120 + path.name[-7:]))
    cohort = checked(tmp_path, source)
    assert not cohort.faults, cohort.faults
    assert "🦴" in cohort.cases[0].ct.files[0].path


@pytest.mark.parametrize("name", ["new\nline", "esc\x1b[31m", os.fsdecode(b"latin-\xe9")], ids=repr)
@pytest.mark.parametrize("source", ["dicom", "volumes"])
def test_names_that_break_lines_or_are_no_utf_8_are_refused_and_shown_safely_IN_26(tmp_path, source, name):
    write = write_dicom_study if source == "dicom" else write_volume_study
    write(tmp_path / name)
    cohort = checked(tmp_path, source)
    assert {fault.id for fault in cohort.faults} >= {"IN-26"}
    assert all(str(fault).isprintable() for fault in cohort.faults)
    json.dumps([fault.as_dict() for fault in cohort.faults]).encode()


def test_a_study_named_like_a_way_up_stays_in_its_place(tmp_path):
    write_volume_study(tmp_path / "..hidden")
    with pytest.raises(Refusal, match="holds no study"):
        checked(tmp_path, "volumes")


_AS_NOBODY = """
import os, sys
from pathlib import Path
from femseg.intake.check import check_cohort
from femseg.layouts.detect import detected_source
from femseg.cohorts.settings import CohortSettings
from femseg.errors import Refusal
os.setuid(65534)
folder, source = Path(sys.argv[1]), sys.argv[2]
try:
    source = detected_source(folder) if source == "auto" else source
    cohort = check_cohort(folder, CohortSettings(source=source), id_key=b"key")
    faults = cohort.faults
    print(len(cohort.cases), "cases")
except Refusal as refusal:
    faults = refusal.faults
print("\\n".join(f"{fault.id} {int(fault.exit_code)} {fault.file} {fault.problem}" for fault in faults))
"""


def _seen_by_nobody(folder: Path, locked: str, source: str) -> list[str]:
    """Lines of what a check says of a cohort, one entry of which nobody but root may read."""
    own = Path(tempfile.gettempdir())
    above = [path for path in (folder, *folder.parents) if path.is_relative_to(own) and path != own]
    modes = {path: path.stat().st_mode for path in above}
    if os.geteuid() == 0:  # root may read everything: another user looks
        for path in above:
            path.chmod(0o755)
    (folder / locked).chmod(0)
    try:
        script = _AS_NOBODY if os.geteuid() == 0 else _AS_NOBODY.replace("os.setuid(65534)", "")
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder), source], capture_output=True, text=True, check=False
        )
    finally:
        (folder / locked).chmod(0o755)
        for path, mode in modes.items():
            path.chmod(mode)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("locked", [".", "study", "study/ct", "study/ct/slice-005.dcm", "study/ct.nii.gz"])
def test_what_may_not_be_read_is_named_IN_26(tmp_path_factory, locked):
    folder = tmp_path_factory.mktemp("locked") / "cohort"
    source = "volumes" if locked.endswith(".nii.gz") else "dicom"
    (write_volume_study if source == "volumes" else write_dicom_study)(folder / "study")
    lines = _seen_by_nobody(folder, locked, source)
    assert any(line.startswith(f"IN-26 3 {(folder / locked)}") and "ermission denied" in line for line in lines), lines


@pytest.mark.parametrize(
    ("write", "locked"),
    [
        pytest.param(write_dicom_study, ".", id="IN-26 dicom, the cohort"),
        pytest.param(write_dicom_study, "locked", id="IN-26 dicom"),
        pytest.param(write_volume_study, "locked", id="IN-26 volumes"),
        pytest.param(write_totalsegmentator_study, "locked", id="IN-26 totalsegmentator"),
    ],
)
def test_what_may_not_be_read_hides_neither_the_layout_nor_the_other_studies(tmp_path_factory, write, locked):
    folder = tmp_path_factory.mktemp("locked") / "cohort"
    write(folder / "study")
    shutil.copytree(folder / "study", folder / "locked")
    lines = _seen_by_nobody(folder, locked, "auto")
    expected = [] if locked == "." else ["1 cases"]
    assert lines[: len(expected)] == expected
    assert lines[len(expected)].startswith(f"IN-26 3 {folder / locked}"), lines
    assert "ermission denied" in lines[len(expected)]
    assert all(f" {folder / locked}" in line for line in lines[len(expected) :])
