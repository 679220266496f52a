"""The stage `cohort` on studies of one's own."""

import json
import subprocess
import sys
from pathlib import Path

import yaml
from study_maker import write_volume_study
from tiny_project import ROOT, environment


def cohort_stage(project: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the stage in a folder that holds nothing but its params.yaml."""
    (project / "params.yaml").write_text(yaml.safe_dump({"cohort": settings, "phantom": {}}))
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cohort"],
        cwd=project,
        env=environment(ROOT) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        capture_output=True,
        text=True,
        timeout=120,
    )


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
    for seed, name in enumerate(("one", "two")):
        write_volume_study(archive / name, seed=seed)
    (archive / "one" / "notes.txt").write_text("drawn twice")
    done = cohort_stage(project, source="volumes", folder=str(archive))
    assert done.returncode == 0, done.stderr
    manifest = json.loads((project / "data/cohort/manifest.json").read_text())
    assert manifest["root"] == str(archive)
    assert {case["ct"]["files"][0]["path"] for case in manifest["cases"]} == {"one/ct.nii.gz", "two/ct.nii.gz"}
    assert done.stdout.splitlines() == [f"ignored 1 file(s): {archive}/one/notes.txt", "2 cases checked"]
