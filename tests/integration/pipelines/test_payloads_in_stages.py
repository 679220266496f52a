"""Payloads in what a stage reads: the stage refuses, nothing of it runs, and nothing half-written is left (G11)."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from security.payloads import MLMODELS, mlmodel, pickled
from tiny_project import changed, environment, hashes, run

from .spoiled_inputs import SPOILED, Spoiled
from .stage_in_process import run_here

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and NumPy warn of themselves
LEFT = ("data", "models", "results", "reports", "params.yaml")


def in_its_own(project: Path, stage: str) -> tuple[int, str]:
    """The same as users run it."""
    done = subprocess.run(
        [sys.executable, "-m", *f"pipelines.{stage}".split()],
        cwd=project,
        env=environment(project),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def assert_refuses(spoiled: Spoiled, project: Path, canary: Path, run_stage) -> None:
    """Every stage that reads the payload says so by id and exit code, and leaves each file as it was."""
    spoiled.spoil(project, canary)
    before = hashes(project, LEFT)
    for stage in spoiled.stages:
        exit_code, said = run_stage(project, stage)
        assert (exit_code, f"error {spoiled.says[0]}: " in said) == (spoiled.says[1], True), (stage, said)
        assert "Traceback" not in said, (stage, said)
        assert not canary.exists(), stage
        assert hashes(project, LEFT) == before, stage
    assert not list(project.rglob("*.part*"))


@pytest.mark.parametrize("spoiled", SPOILED, ids=[spoiled.name for spoiled in SPOILED])
def test_a_stage_refuses_an_input_that_carries_a_payload_G11(spoiled, light_copy, tmp_path):
    assert_refuses(spoiled, light_copy, tmp_path / "canary", run_here)


STUDIES = {
    "SC_07 a ZIP whose names lead out": ("study.zip", ("SC-07", 9)),
    "SC_01 objects in an array": ("study/ct.npy", ("SC-01", 9)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_the_cohort_stage_refuses_a_study_that_carries_a_payload_G11(name, copy, tmp_path):
    canary, (place, says) = tmp_path / "canary", STUDIES[name]
    study = copy / "data/source" / place
    study.parent.mkdir(parents=True, exist_ok=True)
    if study.suffix == ".zip":
        with zipfile.ZipFile(study, "w") as archive:
            archive.writestr("../../../canary/evil", b"evil")
    else:
        study.write_bytes(pickled("object array", canary))
    changed(copy / "params.yaml", {"cohort": {"source": "volumes", "folder": "data/source"}})
    before = hashes(copy, LEFT)
    exit_code, said = in_its_own(copy, "cohort")
    assert (exit_code, f"error {says[0]}: " in said, "Traceback" in said) == (says[1], True, False), said
    assert not canary.exists()
    assert hashes(copy, LEFT) == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", MLMODELS)
def test_registering_again_runs_nothing_of_a_version_whose_MLmodel_names_code_SC_04(kind, copy, tmp_path):
    """The stage finds its package there by its hash and loads nothing; whoever loads the version is refused."""
    canary = tmp_path / "canary"
    stored = list((copy / "mlruns").rglob("MLmodel"))
    assert stored
    for file in stored:
        file.write_text(mlmodel(kind, canary))
    exit_code, said = in_its_own(copy, "register")
    assert (exit_code, "Traceback" in said) == (0, False), said
    done = run(copy, sys.executable, "-c", "from femseg.cli.main import main; main()", "lineage", "challenger", rc=9)
    assert "error SC-04" in done.stderr
    assert not canary.exists()
