"""A split that somebody else made, against the studies that are really there."""

import json

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.intake.leakage import read_split_file, split_faults, split_findings
from femseg.intake.result import CheckedStudy
from femseg.volumes.grid import VoxelGrid

GRID = VoxelGrid(shape_zyx=(2, 2, 2), spacing_mm_zyx=(1.0, 1.0, 1.0))


def study(name, patient, pixels=""):
    return CheckedStudy(
        name=name, location=f"/data/{name}", case=None, faults=(), ignored=(), patient_id=patient, grid=GRID,
        pixels_sha256=pixels,
    )  # fmt: skip


def folds(tmp_path, plain):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(plain))
    return read_split_file(path)


STUDIES = [study("a", "p1", "x"), study("b", "p1", "y"), study("c", "p2", "z"), study("d", "p3", "z")]


def test_a_patient_on_two_sides_is_named_with_both_studies_and_sides_IN_23(tmp_path):
    found = split_faults(STUDIES[:3], folds(tmp_path, {"train": ["a", "c"], "test": ["b"]}))
    (fault,) = found.pop("/data/b")
    assert not found
    assert (fault.id, fault.exit_code) == ("IN-23", ExitCode.INPUT_REFUSED)
    assert fault.problem == "stands in test; /data/a, which shows the same patient, in train"


def test_one_ct_under_two_names_on_two_sides_is_named_IN_23(tmp_path):
    found = split_faults(STUDIES, folds(tmp_path, {"train": ["a", "b", "c"], "test": ["d"]}))
    assert "which shows the same pixels, in train" in found["/data/d"][0].problem


def test_of_nnunets_folds_those_that_leak_are_numbered_IN_23(tmp_path):
    plain = [{"train": ["c"], "val": ["a", "b"]}, {"train": ["a"], "val": ["b"]}, {"train": ["b", "c"], "val": ["a"]}]
    (fault,) = split_faults(STUDIES[:3], folds(tmp_path, plain[:2]))["/data/b"]
    assert fault.problem.endswith("(fold 1)")
    assert len(split_faults(STUDIES[:3], folds(tmp_path, plain))["/data/b"]) == 2


def test_a_study_on_two_sides_of_one_split_is_a_fault_IN_23(tmp_path):
    assert list(split_faults(STUDIES[:1], folds(tmp_path, {"train": ["a"], "test": ["a"]}))) == ["/data/a"]


def test_a_split_by_patient_has_no_fault_and_volume_files_go_by_their_stem(tmp_path):
    files = [study("a.nii.gz", "p1"), study("images/b_0000.nii.gz", "p2")]
    split = folds(tmp_path, {"train": ["a"], "validation": ["b"]})
    assert split_faults(files, split) == {}
    assert split_findings(files, split) == ()


def test_names_that_no_study_has_are_a_finding(tmp_path):
    (finding,) = split_findings(STUDIES, folds(tmp_path, {"train": ["a", "nobody"], "test": ["c"]}))
    assert "what is no study here (1): nobody" in finding.problem


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '{"train": ["a"]}', '{"train": "a", "test": "b"}', "[1]", "[[["])
def test_what_is_no_split_is_refused_in_one_line_with_exit_2(tmp_path, text):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(Refusal) as refused:
        read_split_file(tmp_path / "split.json")
    assert refused.value.exit_code == ExitCode.USAGE


def test_a_side_given_twice_would_hide_a_leak_and_is_refused_CFG_01(tmp_path):
    (tmp_path / "split.json").write_text('{"train": ["a"], "test": ["b"], "train": ["c"]}')
    with pytest.raises(Refusal, match=r"CFG-01.*'train' stands there twice"):
        read_split_file(tmp_path / "split.json")
