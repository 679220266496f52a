"""From what the pipeline left to all that it was made of, and a version evaluated again from that."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from security.html_requests import requests_of
from tiny_project import environment, run

from femseg.lineage.records import FOLDER_RECORD, OutputRecord, hashes_of, read_record, write_record


def femseg(project, *words, rc=0, **variables):
    done = subprocess.run(
        [sys.executable, "-c", "from femseg.cli.main import main; main()", *words],
        cwd=project,
        env=environment(project) | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert rc is None or done.returncode == rc, done.stdout + done.stderr
    return done


def registered_mode(project) -> str:
    return json.loads((project / "results/registration.json").read_text())["input_mode"]


def test_every_link_of_a_mask_holds_down_to_its_ct(project):
    mode = registered_mode(project)
    mask = min((project / f"results/evaluate/{mode}/ct_grid").iterdir())
    found = json.loads(femseg(project, "lineage", str(mask), "--json").stdout)
    assert {link["state"] for link in found["links"]} == {"holds"}
    by_name = {link["what"]: link["value"] for link in found["links"]}
    lineage = json.loads((project / "models" / mode / "lineage.json").read_text())
    assert by_name["git commit"] == run(project, "git", "rev-parse", "HEAD").stdout.strip()
    assert by_name["split"] == lineage["sha256"]["split"]
    assert {f"DVC {path}": md5 for path, md5 in lineage["dvc_md5"].items()}.items() <= by_name.items()
    (series,) = (name for name in by_name if name.startswith("CT series"))
    assert series.endswith(mask.name.removesuffix(".nii.gz"))


@pytest.mark.slow
def test_a_version_names_its_cts_by_part_and_the_masks_and_reports_that_came_of_it(project):
    found = json.loads(femseg(project, "lineage", "challenger", "--json").stdout)
    assert {link["state"] for link in found["links"]} == {"holds"}
    parts = [link["note"].rpartition(" ")[2] for link in found["links"] if link["what"].startswith("CT series")]
    split = json.loads((project / "data/split.json").read_text())["parts"]
    assert {part: parts.count(part) for part in split} == {part: len(cases) for part, cases in split.items()}
    outputs = {output["path"]: output["state"] for output in found["outputs"]}
    assert outputs["reports/comparison.html"] == "holds"
    assert set(outputs.values()) == {"holds"}


@pytest.mark.slow
def test_a_test_case_leads_to_its_masks_and_to_the_report_that_tells_of_them(project):
    split = json.loads((project / "data/split.json").read_text())["parts"]
    case, other = split["test"][:2]
    found = json.loads(femseg(project, "lineage", case, "--json").stdout)
    outputs = {output["path"]: output["state"] for output in found["outputs"]}
    for mode in ("raw", "gradient"):
        assert f"results/evaluate/{mode}/ct_grid/{case}.nii.gz" in outputs
        assert f"results/evaluate/{mode}/ct_grid/{other}.nii.gz" not in outputs
    assert "reports/comparison.html" in outputs
    assert set(outputs.values()) == {"holds"}


@pytest.mark.slow
def test_a_report_leads_to_both_models_and_their_evaluations(project):
    found = json.loads(femseg(project, "lineage", "reports/comparison.html", "--json").stdout)
    assert {link["of"] for link in found["links"]} == {"", "raw", "gradient"}
    assert {link["what"] for link in found["links"] if link["of"] == ""} == {
        "file comparison.html",
        "evaluation of raw",
        "evaluation of gradient",
    }
    assert "broken" not in {link["state"] for link in found["links"]}


@pytest.mark.slow
def test_data_altered_after_training_break_the_lineage(copy):
    manifest = copy / "data/cohort/manifest.json"
    shutil.rmtree(copy / ".dvc/cache")
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace('"format"', ' "format"', 1))
    found = json.loads(femseg(copy, "lineage", "challenger", "--json").stdout)
    states = {link["what"]: link["state"] for link in found["links"]}
    assert (states["cohort manifest"], states["split"]) == ("not here", "holds")


def test_the_registered_version_replays_to_the_same_masks_from_dvcs_cache_alone(copy):
    shutil.rmtree(copy / "results/evaluate")
    shutil.rmtree(copy / "data")
    before = run(copy, "git", "status", "--porcelain").stdout
    done = femseg(copy, "replay", "challenger", "--json")
    cases = json.loads(done.stdout)["cases"]
    assert len(cases) == 4  # two test cases on two grids
    assert {case["verdict"] for case in cases} == {"same bytes"}
    assert all(case["dice_before"] == case["dice_now"] for case in cases)
    assert run(copy, "git", "status", "--porcelain").stdout == before
    assert run(copy, "git", "worktree", "list").stdout.count("\n") == 1


@pytest.mark.slow
def test_masks_that_are_not_what_the_code_makes_are_told_case_by_case(copy, tmp_path):
    """A registered evaluation with one mask altered by 3 voxels: what doctored evidence would look like."""
    mode = registered_mode(copy)
    folder = copy / "results/evaluate" / mode
    altered = min((folder / "network_grid").iterdir())
    mask = np.load(altered).copy()
    mask.reshape(-1)[:3] ^= True
    np.save(altered, mask)
    record = read_record(folder / FOLDER_RECORD)
    plain = {name: getattr(record, name) for name in ("kind", "models", "cts", "sources", "options")}
    write_record(folder / FOLDER_RECORD, OutputRecord(files=hashes_of(folder, record.files), **plain))
    own_store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}"}
    stage = [sys.executable, "-m", "pipelines.register"]
    subprocess.run(stage, cwd=copy, env=environment(copy) | own_store, check=True, capture_output=True, timeout=300)
    done = femseg(copy, "replay", "1", "--into", str(tmp_path / "kept"), "--json", rc=4, **own_store)
    report = json.loads(done.stdout)
    (different,) = (case for case in report["cases"] if case["verdict"] == "different")
    assert (different["case_id"], different["grid"]) == (altered.stem, "network")
    assert different["differing_voxels"] == 3
    assert "error LN-04" in done.stderr
    assert "1 of 4 masks" in done.stderr
    assert (tmp_path / "kept/project/dvc.yaml").is_file()


@pytest.mark.slow
def test_a_commit_that_this_repository_does_not_hold_cannot_be_replayed(copy):
    commit = run(copy, "git", "rev-parse", "HEAD").stdout.strip()
    shutil.rmtree(copy / ".git")
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Another history"]):
        run(copy, "git", *words)
    done = femseg(copy, "replay", "challenger", rc=4)
    assert re.fullmatch(r"error LN-03: .*git checkout.*\n", done.stderr), done.stderr
    assert commit in done.stderr


@pytest.mark.slow
def test_the_card_of_the_registered_version_comes_back_and_has_a_lineage_of_its_own(project, tmp_path):
    femseg(project, "card", "challenger", "-o", str(tmp_path / "card"))
    page = (tmp_path / "card/model_card.html").read_text()
    assert requests_of(page) == []
    for words in ("Intended use", "Known failures", "Subgroups", "Lineage", "femseg, version 1"):
        assert words in page
    assert "| Dice (DSC) ↑ |" in (tmp_path / "card/model_card.md").read_text()
    found = json.loads(femseg(project, "lineage", str(tmp_path / "card/model_card.html"), "--json").stdout)
    assert {link["state"] for link in found["links"]} == {"holds"}


def _series(found) -> set[str]:
    return {link["value"] for link in found["links"] if link["what"].startswith("CT series")}


@pytest.mark.slow
def test_from_a_cts_hash_to_every_mask_made_of_it_and_back_from_each_kind_of_output(copy):
    """Both ways, for a mask of the evaluation on each grid, one of `femseg segment`, report, card, package, version."""
    case = json.loads((copy / "data/split.json").read_text())["parts"]["test"][0]
    mode = registered_mode(copy)
    ct = copy / "data/cohort/studies" / _study_of(copy, case)
    (copy / "out").mkdir()
    words = ("--accept-hu", "--model", "challenger", "--write-rejected")
    femseg(copy, "segment", str(ct), "-o", "out/femur.nii.gz", *words, rc=None)
    femseg(copy, "card", "challenger", "-o", "out/card")
    (hash_of_ct,) = _series(json.loads(femseg(copy, "lineage", "out/femur.nii.gz", "--json").stdout))
    found = json.loads(femseg(copy, "lineage", hash_of_ct, "--json").stdout)
    assert [(link["value"], link["state"]) for link in found["links"]] == [(hash_of_ct, "holds")]
    outputs = {output["path"]: output["state"] for output in found["outputs"]}
    masks = {
        f"results/evaluate/{of}/{grid}"
        for of in ("raw", "gradient")
        for grid in (f"network_grid/{case}.npy", f"ct_grid/{case}.nii.gz")
    } | {"out/femur.nii.gz"}
    assert {path for path in outputs if path.endswith((".npy", ".nii.gz"))} == masks
    told = {"reports/comparison.html", "out/card/model_card.html"}
    assert told <= outputs.keys()
    assert set(outputs.values()) == {"holds"}
    for subject in (*masks, *told, f"models/{mode}", "challenger", "1", "reports"):
        assert hash_of_ct in _series(json.loads(femseg(copy, "lineage", subject, "--json").stdout)), subject


@pytest.mark.slow
def test_an_altered_mask_breaks_the_lineage_of_its_ct_and_a_moved_evaluation_that_of_the_report(copy):
    case = json.loads((copy / "data/split.json").read_text())["parts"]["test"][0]
    mask = copy / f"results/evaluate/raw/network_grid/{case}.npy"
    content = mask.read_bytes()
    mask.unlink()
    mask.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = femseg(copy, "lineage", case, rc=4)
    assert "error LN-01" in done.stderr
    assert f"{case}.npy was altered" in done.stderr
    mask.write_bytes(content)
    shutil.move(copy / "results/evaluate/raw", copy / "elsewhere")
    found = json.loads(femseg(copy, "lineage", "reports/comparison.html", "--json").stdout)
    assert {link["what"]: link["state"] for link in found["links"]}["evaluation of raw"] == "not here"
    (copy / "reports/comparison.html").unlink()
    done = femseg(copy, "lineage", "reports", rc=4)
    assert "comparison.html" in done.stderr


def _study_of(project, case: str) -> str:
    """The folder of a case's CT below the cohort's studies, by its first file."""
    cases = {one["case_id"]: one for one in json.loads((project / "data/cohort/manifest.json").read_text())["cases"]}
    return str(Path(cases[case]["ct"]["files"][0]["path"]).parent)
