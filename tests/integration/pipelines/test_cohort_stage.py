"""The stage `cohort` on studies of one's own."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import yaml
from study_maker import write_volume_study
from tiny_project import ROOT, environment

from femseg.cohorts.manifest import read_manifest
from femseg.cohorts.settings import CohortSettings
from femseg.cohorts.split import SplitSettings, split_by_patient
from femseg.intake.check import check_cohort
from pipelines.cohort import leave

from .stage_in_process import run_here


def cohort_stage(project: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the stage in a folder that holds nothing but its params.yaml."""
    sections = {"cohort": settings, "phantom": {}, "split": {"validation": 1, "test": 1}}
    (project / "params.yaml").write_text(yaml.safe_dump(sections))
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cohort"],
        cwd=project,
        env=environment(ROOT) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        capture_output=True,
        text=True,
    )


def test_arrays_that_training_cannot_paint_are_refused_before_anybody_is_made_CFG_02(tmp_path):
    """The demo's arrays: a shape, and the gradient of the CT itself."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["cohort"]["source"] = "synthetic"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    code, said = run_here(tmp_path, "cohort")
    assert code == 2
    assert "CFG-02: params.yaml: arrays.spacing_mm_zyx: expected a spacing" in said
    window = {"kind": "window", "low": 0.0, "high": 1000.0}
    params["arrays"] |= {"shape_zyx": None, "spacing_mm_zyx": [3.0, 3.0, 3.0], "gradient_scaling": window}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    code, said = run_here(tmp_path, "cohort")
    assert code == 2
    assert "arrays.gradient_of: expected 'resampled'" in said
    assert not (tmp_path / "data/cohort/studies").exists()


def test_a_share_of_what_cannot_be_painted_is_refused_before_any_study_is_read_CFG_02(tmp_path):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    window = {"kind": "window", "low": 0.0, "high": 1000.0}
    params["cohort"] = {"source": "dicom", "folder": "no such folder"}
    params["arrays"] |= {"shape_zyx": None, "spacing_mm_zyx": [3.0, 3.0, 3.0], "gradient_scaling": window}
    for synthetic, source, words in (
        ({"share": 0.25}, "dicom", "arrays.gradient_of: expected 'resampled'"),
        ({"share": 0.25}, "synthetic", "synthetic.share is 0.25, but every sample"),
        ({"share": 1.0}, "dicom", "expected a share from 0 to below 1"),
    ):
        params["synthetic"], params["cohort"]["source"] = synthetic, source
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        code, said = run_here(tmp_path, "cohort")
        assert code == 2
        assert words in said


def test_a_folder_without_any_study_is_refused_and_what_was_ignored_is_said_once_IN_14(tmp_path):
    (tmp_path / "source" / "one").mkdir(parents=True)
    (tmp_path / "source" / "one" / "notes.txt").write_text("no study")
    done = cohort_stage(tmp_path, source="dicom", folder="source")
    assert done.returncode == 3, done.stderr
    assert "error IN-05: source: holds no study (dicom)" in done.stderr
    assert done.stdout.count("ignored 1 file(s): ") == 1
    assert "notes.txt" in done.stdout
    assert not (tmp_path / "data/cohort/manifest.json").exists()


def test_studies_outside_the_repository_keep_their_absolute_folder(tmp_path):
    archive, project = tmp_path / "archive", tmp_path / "project"
    project.mkdir()
    for seed, name in enumerate(("one", "two", "three")):
        write_volume_study(archive / name, seed=seed)
    (archive / "one" / "notes.txt").write_text("drawn twice")
    done = cohort_stage(project, source="volumes", folder=str(archive))
    assert done.returncode == 0, done.stderr
    manifest = json.loads((project / "data/cohort/manifest.json").read_text())
    assert manifest["root"] == str(archive)
    assert {case["ct"]["files"][0]["path"] for case in manifest["cases"]} == {
        f"{name}/ct.nii.gz" for name in ("one", "two", "three")
    }
    expected = [f"ignored 1 file(s): {archive}/one/notes.txt", "3 cases of 3 patients checked"]
    assert done.stdout.splitlines() == expected


def test_a_split_that_the_patients_do_not_fill_is_refused_before_minutes_go_into_arrays_CFG_03(tmp_path):
    for seed, name in enumerate(("P1_pre", "P1_post", "P2_pre")):
        write_volume_study(tmp_path / "source" / name, seed=seed)
    done = cohort_stage(tmp_path, source="volumes", folder="source")
    assert done.returncode == 2, done.stderr
    assert "error CFG-03: split: 2 patients give 0 to train, 1 to validation, 1 to test" in done.stderr
    assert not list((tmp_path / "data/cohort").iterdir())


def test_a_given_split_goes_through_the_stages_by_the_names_of_studies(tmp_path):
    for seed, name in enumerate("abc"):
        write_volume_study(tmp_path / "source" / name, seed=seed)
    parts = {"train": ["b"], "validation": ["c"], "test": ["a"]}
    (tmp_path / "source" / "split.json").write_text(json.dumps(parts))
    done = cohort_stage(tmp_path, source="volumes", folder="source", split="source/split.json")
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "data/cohort/manifest.json").read_text())["cases"]
    split = split_by_patient(read_manifest(tmp_path / "data/cohort/manifest.json").cases, SplitSettings())
    named = {case["case_id"]: case["ct"]["files"][0]["path"][0] for case in cases}
    assert [named[case] for (case,) in (split.train, split.validation, split.test)] == ["b", "c", "a"]


def hundred_studies_of_which_seven_are_bad(folder: Path) -> None:
    for number in range(100):
        write_volume_study(folder / f"{number:03d}", suffix=".nii", seed=number)
    for number in (3, 14, 15):
        (folder / f"{number:03d}" / "mask.nii").unlink()
    for number in (92, 65, 35):
        cut = folder / f"{number:03d}" / "ct.nii"
        cut.write_bytes(cut.read_bytes()[:-100])
    write_volume_study(folder / "089", suffix=".nii", seed=88)


def test_seven_bad_studies_of_a_hundred_are_all_named_and_left_out_only_if_that_is_said_IN_27(tmp_path):
    source, cohort = tmp_path / "source", tmp_path / "data/cohort"
    hundred_studies_of_which_seven_are_bad(source)
    bad = ["003", "014", "015", "035", "065", "089", "092"]
    done = cohort_stage(tmp_path, source="volumes", folder="source")
    assert done.returncode == 4  # a torn file is graver than a missing mask
    named = [line.split("/source/")[1][:3] for line in done.stderr.splitlines() if line.startswith("error ")]
    assert sorted(named) == bad
    assert not list(cohort.iterdir())

    done = cohort_stage(tmp_path, source="volumes", folder="source", quarantine=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "IN-27: 7 studies left out, listed in data/cohort/quarantine.json",
        "93 cases of 93 patients checked",
    ]
    assert len(json.loads((cohort / "manifest.json").read_text())["cases"]) == 93
    listed = json.loads((cohort / "quarantine.json").read_text())["studies"]
    assert [study["study"] for study in listed] == bad
    assert all(fault["fix"] for study in listed for fault in study["faults"])
    assert str(tmp_path) not in (cohort / "quarantine.json").read_text()


def test_a_list_of_left_out_studies_is_removed_when_none_may_be_left_out_any_more_IN_27(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_volume_study(tmp_path / "source" / "one")
    (write_volume_study(tmp_path / "source" / "two", seed=2) / "mask.nii.gz").unlink()
    settings = CohortSettings(source="volumes", folder="source", quarantine=True)
    found = check_cohort(Path("source"), settings, id_key=b"key")
    (tmp_path / "data/cohort").mkdir(parents=True)
    leave(found, Path("source"), settings)
    assert {path.name for path in Path("data/cohort").iterdir()} == {"manifest.json", "quarantine.json"}
    leave(replace(found, faults=()), Path("source"), replace(settings, quarantine=False))
    assert [path.name for path in Path("data/cohort").iterdir()] == ["manifest.json"]


def test_a_cohort_without_a_usable_study_is_refused_with_a_quarantine_too_IN_27(tmp_path):
    (write_volume_study(tmp_path / "source" / "one") / "mask.nii.gz").unlink()
    done = cohort_stage(tmp_path, source="volumes", folder="source", quarantine=True)
    assert done.returncode == 3, done.stderr
    assert not list((tmp_path / "data/cohort").iterdir())
