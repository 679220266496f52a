"""What else `femseg check` can do: headers alone, a page, a split, a quarantine, in parallel."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pydicom
import pytest
from study_maker import femur_mask, write_dicom_study, write_volume_study
from typer.testing import CliRunner

from femseg.cli import check as command
from femseg.cli.main import app

VOID = {"meta", "br", "img", "source"}


@pytest.fixture
def check(monkeypatch):
    monkeypatch.delenv("FEMSEG_DEBUG", raising=False)
    return lambda *words: CliRunner().invoke(app, ["check", *map(str, words)])


def without_slice_7(datasets):
    del datasets[7]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Three good studies, two of them of one patient, and three that are bad in ways of their own."""
    folder = tmp_path_factory.mktemp("data") / "cohort"
    write_dicom_study(folder / "good", patient="A")
    write_dicom_study(folder / "second", patient="A", seed=1)
    write_dicom_study(folder / "anna<b>", patient="anna<b>", seed=2)
    write_dicom_study(folder / "gap", patient="B", seed=3, ct=without_slice_7)
    write_dicom_study(folder / "empty", patient="C", seed=4, mask_zyx=np.zeros_like(femur_mask(), np.uint16))
    torn = write_dicom_study(folder / "torn", patient="D", seed=5) / "ct" / "slice-003.dcm"
    torn.write_bytes(torn.read_bytes()[:500])
    return folder


class Page(HTMLParser):
    """Tags must close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.values, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [value for name, value in attrs if name in ("src", "href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [value for name, value in attrs if name in ("src", "href", "action")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def test_faults_are_grouped_by_cause_with_one_fix_each(check, cohort):
    done = check(cohort)
    text = done.stdout.split("faults by cause")[1]
    assert "IN-01  Slices are missing inside the scan: 2 studies, 2 fault(s)" in text
    assert text.count("Fix: send the whole series again from the scanner or the archive") == 1
    assert "3 case(s) accepted" in text
    assert "worth a look" in done.stdout
    assert "one patient has 2 studies: good, second" in done.stdout


def test_json_holds_everything(check, cohort):
    said = json.loads(check(cohort, "--json").stdout)
    assert {case["study"] for case in said["cases"]} == {"good", "second", "anna<b>"}
    assert {study["study"] for study in said["refused"]} == {"gap", "empty", "torn"}
    assert sum(group["faults"] for group in said["groups"]) == len(said["faults"])
    assert {finding["id"] for finding in said["findings"]} == {"IN-23", "SC-10"}
    assert next(one for one in said["statistics"] if one["quantity"] == "femur volume")["median"] == 12.6


def test_the_page_is_one_file_with_a_card_and_pictures_per_study(check, cohort, tmp_path):
    done = check(cohort, "--html", tmp_path / "new" / "page.html")
    assert done.exit_code == 3
    text = (tmp_path / "new" / "page.html").read_text()
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[^\"]*", "", text))
    assert not {"script", "link", "iframe", "object", "form", "b>"} & set(page.tags)
    assert all(value.startswith(("data:image/webp;base64,", "#study-")) for value in page.values)
    words = " ".join(" ".join(page.words).split())
    assert "3 of 6 studies can be used; 3 must be mended; 1 deserves a look." in words
    assert page.tags.count("article") == 6
    assert page.tags.count("image") == 18
    assert text.count('class="missing"') == 4  # two studies with a gap, seen in two planes each
    assert words.index("Must be mended (3)") < words.index("Deserve a look (1)") < words.index("Fine (2)")
    assert "Copy this file again from where it came" in words
    assert "Do not pass it on without thought" in words
    assert str(cohort) not in text


def test_headers_alone_are_told_from_a_whole_check(check, cohort, tmp_path):
    done = check(cohort, "--headers", "--html", tmp_path / "page.html")
    assert done.exit_code == 3
    assert "4 case(s) accepted" in done.stdout  # an empty mask shows in its voxels alone
    assert "only headers were read" in done.stdout
    text = (tmp_path / "page.html").read_text()
    assert "Headers only" in text
    assert "<image" not in text
    assert json.loads(check(cohort, "--headers", "--json").stdout)["headers_only"] is True


def test_a_patient_on_two_sides_of_a_split_is_refused_IN_23(check, cohort, tmp_path):
    split = tmp_path / "splits_final.json"
    split.write_text(json.dumps([{"train": ["good", "anna<b>"], "val": ["second"]}]))
    done = check(cohort, "--split", split)
    (line,) = (line for line in done.stderr.splitlines() if "IN-23" in line)
    assert f"{cohort}/second: stands in val; {cohort}/good, which shows the same patient, in train" in line
    split.write_text(json.dumps({"train": ["good", "second"], "test": ["anna<b>"]}))
    assert "error IN-23" not in check(cohort, "--split", split).stderr
    split.write_text("{}")
    assert check(cohort, "--split", split).exit_code == 2


def test_a_quarantine_lists_the_bad_ones_with_their_fixes_and_ends_with_0_IN_27(check, cohort, tmp_path):
    listed = tmp_path / "quarantine.json"
    done = check(cohort, "--quarantine", listed)
    assert done.exit_code == 0
    assert done.stderr.count("error ") >= 3
    plain = json.loads(listed.read_text())
    assert [study["study"] for study in plain["studies"]] == ["empty", "gap", "torn"]
    assert all(fault["fix"] for study in plain["studies"] for fault in study["faults"])
    assert str(cohort) not in listed.read_text()
    write_volume_study(tmp_path / "all" / "bad").joinpath("mask.nii.gz").unlink()
    assert check(tmp_path / "all", "--quarantine", listed).exit_code == 3


def test_labels_may_be_given_on_the_command_line(check, tmp_path):
    write_dicom_study(tmp_path / "one", mask_zyx=femur_mask().astype(np.uint16) * 3)
    assert check(tmp_path).exit_code == 3
    done = check(tmp_path, "--label", "left=3", "--label", "other=4", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cases"][0]["side"] == "left"


@pytest.mark.parametrize(
    "words", [["--label", "left=three"], ["--label", "middle=1"], ["--structure", "=x"], ["--structure", "femur="]]
)
def test_a_side_that_cannot_be_understood_is_one_line_and_exit_2(check, cohort, words):
    done = check(cohort, *words)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error CFG-01: {words[0]}: cannot be understood")


def test_on_ray_the_same_is_found_with_the_same_names(check, cohort, tmp_path, monkeypatch):
    monkeypatch.chdir(cohort.parent)
    here = json.loads(check(cohort.name, "--json").stdout)
    monkeypatch.setattr(command, "_RAY_PAYS_FROM_S", 0.0)
    there = json.loads(check(cohort.name, "--json", "--html", tmp_path / "page.html").stdout)
    assert there["faults"] == here["faults"]
    assert [case["study"] for case in there["cases"]] != []
    assert sorted(case["study"] for case in there["cases"]) == sorted(case["study"] for case in here["cases"])
    assert (tmp_path / "page.html").read_text().count("<image") == 18


def test_a_study_whose_names_say_nothing_has_no_finding(check, tmp_path):
    write_dicom_study(tmp_path / "one", patient="0815")
    assert pydicom.dcmread(tmp_path / "one/ct/slice-000.dcm").PatientID == "0815"
    assert json.loads(check(tmp_path, "--json").stdout)["findings"] == []
