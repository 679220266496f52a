"""`femseg plan`: what it says, what it writes, where it learns the cohort from, and that what it plans trains."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from study_maker import write_volume_study
from typer.testing import CliRunner

from benchmarks.pipeline.plan_estimates import COHORTS
from femseg.cli.main import app
from femseg.cli.settings.plan import median_grid, phantom_facts
from femseg.cli.settings.probe import CASES, asked_of, random_stores, trained
from femseg.cohorts.case import Case
from femseg.cohorts.manifest import Manifest, write_manifest
from femseg.cohorts.settings import ArraySettings
from femseg.formats.source import Source
from femseg.installation.machine import usable_cores, usable_memory_bytes
from femseg.networks.choice import read_network
from femseg.phantom import PhantomSettings, phantom_study
from femseg.planning.facts import MachineFacts, Stated
from femseg.planning.plan import make_plan
from femseg.settings import read_section
from femseg.training.stored_cases import PatchSettings
from femseg.volumes.grid import VoxelGrid

ROOT = Path(__file__).parents[3]
GIB = 2**30


def plan(*words: object, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, ["plan", *map(str, words)])
    assert done.exit_code == exit_code, done.output
    return done.stdout if not exit_code else done.output


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def comments(text: str) -> list[str]:
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


def test_it_says_what_why_and_what_it_costs_and_changes_nothing(project):
    before = (project / "params.yaml").read_text()
    said = plan("--no-probe")
    assert "cohort: 36 CTs of 36 patients, median 130 × 111 × 111 voxels of 4 × 1.8 × 1.8 mm (phantoms" in said
    assert re.search(r"^machine: \d+ core\(s\), [\d.]+ GiB of memory, .*GiB of disk free$", said, re.MULTILINE)
    for line in ("  grid: 4 × 4 × 4 mm: ", "  grid: 4 × 1.8 × 1.8 mm: the median CT has", "  patch ", "  V-Net of "):
        assert f"\n{line}" in said
    assert "train.max_iterations stays 240: every training case is seen about" in said
    assert "split: 22 patients to train, 7 to validation, 7 to test" in said
    assert re.search(r"memory: [\d.]+ GiB of [\d.]+ GiB", said)
    assert re.search(r"disk: [\d.]+ GiB of [\d.]+ GiB free", said)
    assert "time: not known without a probe" in said
    assert (project / "params.yaml").read_text() == before


def test_what_it_writes_passes_the_checks_keeps_comments_and_is_the_same_once_more(project):
    before = (project / "params.yaml").read_text()
    said = plan("--no-probe", "--write", "params.yaml")
    text = (project / "params.yaml").read_text()
    assert "params.yaml: arrays.spacing_mm_zyx: [4.0, 4.0, 4.0]" in said
    assert comments(text) == comments(before)
    assert "  spacing_mm_zyx: [4.0, 4.0, 4.0] # or a spacing in mm" in text, "a list stays on its line"
    for below in ("", "refine."):
        assert read_section(ArraySettings, f"{below}arrays").recipe("gradient").spacing_mm_zyx
        read_network(f"{below}network").check_shape(read_section(PatchSettings, f"{below}patches").shape_zyx)
    written, old = yaml.safe_load(text), yaml.safe_load(before)
    assert written["refine"]["trainings"] == ["best"]
    assert written["refine"]["input_modes"] == ["raw", "gradient"]
    for kept in ("cohort", "phantom", "repeats", "compare", "storage"):
        assert written[kept] == old[kept]
    assert "params.yaml: nothing to change" in plan("--no-probe", "--write", "params.yaml")
    assert (project / "params.yaml").read_text() == text


def test_the_papers_settings_gain_a_finer_scale_that_is_whole(project):
    shutil.copy(ROOT / "params.paper.yaml", project / "params.yaml")
    document = yaml.safe_load((project / "params.yaml").read_text())
    document["cohort"]["source"] = "phantom"
    (project / "params.yaml").write_text(yaml.safe_dump(document))
    plan("--no-probe", "--write", "params.yaml")
    after = yaml.safe_load((project / "params.yaml").read_text())
    assert after["refine"].keys() >= {"arrays", "patches", "network", "optimisation", "search", "train"}
    assert after["refine"]["search"]["enabled"] is False
    assert after["refine"]["train"]["learning_rate"] == 0.005
    assert after["network"]["normalisation"] == "instance"


def test_a_folder_is_looked_at_by_its_headers_and_faulty_studies_are_left_out(project):
    for seed in range(6):
        write_volume_study(project / "own" / f"case{seed}", seed=seed)
    (project / "own/case6").mkdir()
    shutil.copy(project / "own/case0/ct.nii.gz", project / "own/case6/ct.nii.gz")  # without a mask
    found = json.loads(plan("own", "--no-probe", "--json"))
    assert found["cohort"]["cts"] == found["cohort"]["patients"] == 6
    assert found["cohort"]["source"] == "headers below own, 1 studies with faults left out"
    assert found["settings"]["split.test"] == 0.3, "eighteen of six patients cannot be"
    assert found["estimates"]["seconds"] is None
    assert found["estimates"]["memory_bytes"] <= found["machine"]["memory_bytes"]


def test_a_checked_cohort_is_taken_from_its_manifest_unless_params_yaml_names_another(project):
    grid = VoxelGrid(shape_zyx=(60, 64, 64), spacing_mm_zyx=(2.5, 1.1, 1.1))
    files = Source(kind="volume", files=())
    cases = tuple(
        Case(case_id=f"case-{n:02}", patient_id=f"patient-{n // 2}", ct=files, mask=files, grid=grid) for n in range(12)
    )
    (project / "data/cohort").mkdir(parents=True)
    write_manifest(Manifest(root="../source", cases=cases), project / "data/cohort/manifest.json")
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("source: phantom", "source: volumes"))
    found = json.loads(plan("--no-probe", "--json"))
    assert (found["cohort"]["cts"], found["cohort"]["patients"]) == (12, 6)
    assert found["cohort"]["source"] == "data/cohort/manifest.json"
    assert found["settings"]["refine.arrays.spacing_mm_zyx"] == [2.5, 1.1, 1.1]
    params.write_text(params.read_text().replace("folder: data/source", "folder: elsewhere"))
    assert "CFG-01: elsewhere: is no folder" in plan("--no-probe", exit_code=2)


def test_phantoms_are_not_drawn_and_their_grids_are_right():
    settings = PhantomSettings(patients=3, spacing_mm_zyx=(8.0, 4.0, 4.0), scans="varied")
    facts = phantom_facts(settings)
    assert facts.grids == tuple(phantom_study(settings, number).ct.grid for number in range(3))


def test_another_network_is_not_planned_for(project):
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("name: vnet", "name: residual_unet:ResidualUNet"))
    assert "network.name is residual_unet:ResidualUNet; a plan fits the vnet alone" in plan("--no-probe", exit_code=2)


def test_weights_to_start_from_are_not_planned_away(project):
    params = project / "params.yaml"
    text = params.read_text().replace("learning_rate: search", "learning_rate: 0.01\n  start_from: models:/femseg")
    params.write_text(text)
    assert "CFG-02: params.yaml: train.start_from takes the weights" in plan("--no-probe", exit_code=2)


def test_control_groups_bound_cores_and_memory(tmp_path):
    def file(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    everything = usable_memory_bytes(tmp_path)
    file("proc/self/cgroup", "0::/batch/job\n")
    assert (usable_cores(tmp_path), usable_memory_bytes(tmp_path)) == (usable_cores(), everything)
    file("sys/fs/cgroup/batch/memory.max", "1073741824\n")
    file("sys/fs/cgroup/batch/job/memory.max", "max\n")
    file("sys/fs/cgroup/batch/job/cpu.max", "50000 100000\n")
    assert (usable_cores(tmp_path), usable_memory_bytes(tmp_path)) == (1, GIB)
    file("proc/self/cgroup", "5:memory:/old\n4:cpu,cpuacct:/old\n")
    file("sys/fs/cgroup/memory/old/memory.limit_in_bytes", "536870912\n")
    file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    assert (usable_cores(tmp_path), usable_memory_bytes(tmp_path)) == (usable_cores(), GIB // 2)


TIGHT = MachineFacts(cores=1, memory_bytes=int(8.5 * GIB), disk_bytes=200 * GIB)  # the large CTs ask for so much


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["find", "refine"])
@pytest.mark.parametrize("cohort", COHORTS)
def test_what_is_planned_trains(cohort, scale, tmp_path):
    asked = COHORTS[cohort]
    planned = make_plan(asked, TIGHT, Stated()).scales[scale]
    steps = asked_of(planned, scan_zyx=planned.working_zyx(median_grid(asked)), input_mode="raw", cores=1, steps=2)
    random_stores(tmp_path, steps)
    assert trained(steps, tmp_path, CASES).step_s > 0


@pytest.mark.slow
def test_a_probe_measures_memory_and_time_of_every_stage(project):
    found = json.loads(plan("--json"))
    for scale in found["scales"].values():
        assert scale["probe"]["step_s"] > 0
        assert scale["process_bytes"] == pytest.approx(scale["probe"]["process_bytes"], rel=0.25)
    stages = found["estimates"]["stage_seconds"]
    assert stages.keys() >= {"cohort", "find arrays", "find search", "find train", "refine train", "evaluate"}
    assert found["estimates"]["seconds"] == pytest.approx(sum(stages.values()))
    said = plan()
    assert re.search(r"time: dvc repro takes about \d+ (s|min|h).*: cohort ", said)
