"""Payloads in every carrier, at every door that loads something: none runs, none writes elsewhere (G11)."""

import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from security.html_requests import requests_of
from security.payloads import FORMULA, MARKUP, MLMODELS, MODELS, PICKLES, Carrier, mlmodel, pickled, signed_anew
from study_maker import write_volume_study
from tiny_model import write_tiny_package
from tiny_registry import write_cohort
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file, sha256_of_json, write_json_durably
from femseg.lineage.provenance import dvc_hashes
from femseg.lineage.records import FOLDER_RECORD, OutputRecord, record_beside, write_record
from femseg.services.lineage.worktree import bring_data
from femseg.services.registry.challenger import propose
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import brought_here, register_package
from femseg.services.tracking.connect import connect, end_run, start_run
from femseg.training.checkpoint import checkpoint_folder, newest_good_checkpoint, write_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and NumPy warn of themselves


def femseg(*words) -> tuple[int, str]:
    """Exit code and all that was said."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert "Traceback" not in done.output
    assert "INTERNAL" not in done.output, done.output
    return done.exit_code, done.stdout + done.stderr


def assert_refused(said: tuple[int, str], fault_id: str, exit_code: int) -> None:
    assert (said[0], f"error {fault_id}: " in said[1]) == (exit_code, True), said


@pytest.fixture
def canary(tmp_path):
    """Nothing has made it when the test ends, nor anything else outside of the test's own folder."""
    (tmp_path / "outside").mkdir()
    yield tmp_path / "outside" / "canary"
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return write_volume_study(tmp_path_factory.mktemp("study") / "study") / "ct.nii.gz"


@pytest.mark.parametrize("kind", PICKLES)
def test_the_payloads_are_live(tmp_path, kind):
    """Loaded as careless programs do, each makes its canary."""
    import io
    import pickle

    import numpy as np
    import torch

    content = io.BytesIO(pickled(kind, tmp_path / "canary"))
    if kind == "object array":
        np.load(content, allow_pickle=True)
    elif kind.startswith("protocol"):
        pickle.load(content)  # noqa: S301  # that is the point
    else:
        torch.load(content, weights_only=False)
    assert (tmp_path / "canary").is_dir()


MODEL_DOORS = {
    "segment": lambda model, study, to: femseg("segment", study, "-o", to, "--model", model),
    "lineage": lambda model, study, to: femseg("lineage", model),
}


@pytest.mark.parametrize("door", MODEL_DOORS)
@pytest.mark.parametrize("carrier", MODELS, ids=[carrier.name for carrier in MODELS])
def test_a_model_that_is_none_is_refused_and_not_run_G11_SC_01_SC_02_SC_03_SC_04_SC_05(
    carrier: Carrier, door, study, tmp_path, canary
):
    model = carrier.make(tmp_path / "model", canary)
    said = MODEL_DOORS[door](model, study, tmp_path / "mask.nii.gz")
    if (door == "lineage" and model.is_file()) or (
        door == "lineage" and not (model / "MANIFEST.json").exists()
    ):  # a file by itself has no record, and is not opened
        assert_refused(said, "LN-02", 4)
    else:
        assert_refused(said, *carrier.says)
    assert not (tmp_path / "mask.nii.gz").exists()


@pytest.mark.parametrize("kind", [kind for kind in PICKLES if kind != "object array"])
def test_a_checkpoint_whose_hash_holds_and_that_carries_code_is_not_resumed_SC_01(kind, tmp_path, canary):
    write_checkpoint(tmp_path / "run", 5, {"n": 1}, {})
    write_checkpoint(tmp_path / "run", 10, {"n": 1}, {})
    state, commit = (checkpoint_folder(tmp_path / "run", 10) / name for name in ("state.pt", "COMMIT"))
    state.write_bytes(pickled(kind, canary))
    content = json.loads(commit.read_text())["content"] | {"sha256": sha256_of_file(state)}
    write_json_durably(commit, {"content": content, "sha256_of_content": sha256_of_json(content)})
    with pytest.raises(Refusal) as refused:
        newest_good_checkpoint(tmp_path / "run", pytest.fail)
    assert (refused.value.faults[0].id, refused.value.exit_code) == ("SC-01", ExitCode.SECURITY)


def test_states_of_ray_in_a_run_folder_are_not_opened_SC_02_SC_05(tmp_path, canary):
    write_checkpoint(tmp_path / "run", 5, {"n": 1}, {})
    for name in ("tuner.pkl", "trainer.pkl", "searcher-state.pkl", ".metadata", "step-000009/.metadata"):
        place = tmp_path / "run" / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(pickled("protocol 5", canary))
    checkpoint = newest_good_checkpoint(tmp_path / "run", pytest.fail)
    assert checkpoint.iteration == 5


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """One registered version, a cohort and rules to judge it by, in a folder of its own."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        client, experiment_id = connect()
        write_tiny_package(folder / "package")
        write_cohort(folder)
        Path("promotion.yaml").write_text("{}\n")
        run_id = start_run(client, experiment_id, name="train-raw", params={})
        end_run(client, run_id, "FINISHED")
        register_package(client, folder / "package", run_id=run_id, tags={}, input_channels=1)
        propose(client, 1)
        yield client, run_id


def _first(kinds, number: int):
    """The first of them always, the rest where there is time."""
    return [kind if at < number else pytest.param(kind, marks=pytest.mark.slow) for at, kind in enumerate(kinds)]


@pytest.mark.parametrize("kind", _first(MLMODELS, 1))
def test_a_version_whose_MLmodel_names_foreign_code_is_refused_at_every_door_SC_04(registry, kind, study, canary):
    stored = brought_here(registry[0], registry[0].get_model_version(MODEL_NAME, "1").source)
    good = (stored / "MLmodel").read_bytes()
    try:
        (stored / "MLmodel").write_text(mlmodel(kind, canary))
        uri = f"models:/{MODEL_NAME}/1"
        assert_refused(femseg("segment", study, "-o", canary.parent / "m.nii.gz", "--model", uri), "SC-04", 9)
        assert_refused(femseg("lineage", "1"), "SC-04", 9)
        assert_refused(femseg("replay", "1"), "SC-04", 9)
        assert_refused(femseg("promote", "1"), "RG-01", 8)  # the gate's answer; the log keeps why
        assert "MLmodel" in femseg("why", "1")[1]
    finally:
        (stored / "MLmodel").write_bytes(good)


@pytest.mark.parametrize("kind", _first(PICKLES, 1))
def test_a_pickle_put_into_a_registered_artefact_is_refused_at_every_door_SC_01(registry, kind, study, canary):
    stored = brought_here(registry[0], registry[0].get_model_version(MODEL_NAME, "1").source) / "data/package"
    weights = stored / "weights.safetensors"
    good, manifest = weights.read_bytes(), (stored / "MANIFEST.json").read_bytes()
    try:
        weights.write_bytes(pickled(kind, canary))
        signed_anew(stored)
        uri = f"models:/{MODEL_NAME}/1"
        assert_refused(femseg("segment", study, "-o", canary.parent / "m.nii.gz", "--model", uri), "SC-01", 9)
        assert_refused(femseg("replay", "1"), "SC-01", 9)
        assert_refused(femseg("promote", "1", "--dry-run"), "RG-01", 8)
    finally:
        weights.write_bytes(good)
        (stored / "MANIFEST.json").write_bytes(manifest)


OUTSIDE = ("../outside/canary", "/tmp/femseg-canary", "a/../../outside/canary")


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_card_that_names_files_elsewhere_is_not_written_SC_08(registry, name, tmp_path, canary):
    client, run_id = registry
    folder = tmp_path / "kept"
    folder.mkdir()
    (tmp_path / "evil").write_text("evil")
    write_record(
        folder / FOLDER_RECORD, OutputRecord(kind="card", files={name: sha256_of_file(tmp_path / "evil")}, models={})
    )
    sha256 = sha256_of_file(folder / FOLDER_RECORD)
    client.log_artifacts(run_id, str(folder), f"card/{sha256[:16]}")
    client.set_model_version_tag(MODEL_NAME, "1", "card_sha256", sha256)
    assert_refused(femseg("card", "1", "-o", tmp_path / "card"), "SC-08", 2)
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_record_that_names_files_elsewhere_is_refused_SC_08(name, tmp_path, canary):
    mask = tmp_path / "folder" / "mask.nii.gz"
    mask.parent.mkdir()
    mask.write_bytes(b"mask")
    write_record(mask.parent / FOLDER_RECORD, OutputRecord(kind="evaluation", files={name: "0" * 64}, models={}))
    assert_refused(femseg("lineage", mask.parent), "SC-08", 2)
    assert_refused(femseg("lineage", mask), "SC-08", 2)
    write_record(record_beside(mask), OutputRecord(kind="segmentation", files={"mask": "0" * 64}, models={}))
    assert_refused(femseg("lineage", mask), "LN-01", 4)


@pytest.mark.parametrize("name", _first(["../../../outside/canary", "/tmp/femseg-canary"], 1))
def test_a_folder_of_dvc_that_lists_files_elsewhere_is_not_checked_out_SC_08(name, tmp_path, canary):
    """DVC itself writes wherever the listing says."""
    import hashlib
    import subprocess
    import sys

    scratch = tmp_path / "scratch"
    cache = tmp_path / "scratch/.dvc/cache/files/md5"
    for words in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        scratch.mkdir(exist_ok=True)
        subprocess.run(words, cwd=scratch, check=True)
    (scratch / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"cohort": {"cmd": "-", "outs": ["data/cohort"]}}}))

    def kept(content: bytes, suffix: str = "") -> str:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
        (cache / md5[:2]).mkdir(parents=True, exist_ok=True)
        (cache / md5[:2] / md5[2:]).write_bytes(content)
        return md5

    listing = kept(json.dumps([{"md5": kept(b"evil"), "relpath": name}]).encode(), ".dir")
    with pytest.raises(Refusal, match="SC-08"):
        bring_data(scratch, scratch, {"data/cohort": listing})
    assert not (scratch / "data").exists()


TAG = "!!python/object/apply:os.mkdir ['{canary}']"


YAML = pytest.mark.parametrize("text", [TAG, "a: " + "[" * 40, "a: 1\na: 2"], ids=["tag", "deep", "twice"])


@YAML
def test_a_dvc_lock_that_would_run_or_grow_is_refused_SC_06(text, tmp_path, canary):
    (tmp_path / "dvc.lock").write_text(text.replace("{canary}", str(canary)))
    with pytest.raises(Refusal, match="ST-02") as refused:
        dvc_hashes(tmp_path / "dvc.lock", ["data/cohort"])
    assert refused.value.exit_code == ExitCode.INTEGRITY


@YAML
@pytest.mark.parametrize("file", ["params.yaml", "promotion.yaml"])
def test_yaml_that_would_run_or_grow_is_refused_SC_06(registry, file, text, tmp_path, canary, monkeypatch):
    here = tmp_path / "project"
    shutil.copytree("data", here / "data")
    monkeypatch.chdir(here)
    Path("promotion.yaml").write_text("{}\n")
    Path(file).write_text(text.replace("{canary}", str(canary)))
    commands = {"params.yaml": ("check", "data/source", "--params", "params.yaml"), "promotion.yaml": ("promote", "1")}
    words = commands[file]
    assert_refused(femseg(*words), "CFG-01", 2)


def _zipped(entry: str, *, link: bool = False):
    def make(folder: Path, canary: Path) -> Path:
        with zipfile.ZipFile(folder / "study.zip", "w") as archive:
            info = zipfile.ZipInfo(entry)
            info.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(info, str(canary) if link else b"evil")
        return folder / "study.zip"

    return make


def _volume(name: str, text: str):
    def make(folder: Path, canary: Path) -> Path:
        (folder.parent / "secret.raw").write_bytes(bytes(4096))
        (folder / name).write_text(text)
        return folder / name

    return make


def _array(kind: str):
    def make(folder: Path, canary: Path) -> Path:
        (folder / "ct.npy").write_bytes(pickled(kind, canary))
        return folder / "ct.npy"

    return make


_MHD = "ObjectType = Image\nNDims = 3\nDimSize = 8 8 8\nElementType = MET_SHORT\nElementDataFile = ../secret.raw\n"
_NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 8 8 8\nencoding: raw\nendian: little\ndata file: ../secret.raw\n\n"
STUDIES = {
    "SC_07 a name that leads out": (_zipped("../outside/canary"), "SC-07", 9),
    "SC_07 an absolute name": (_zipped("/tmp/femseg-canary"), "SC-07", 9),
    "SC_07 a link": (_zipped("ct", link=True), "SC-07", 9),
    "SC_01 objects in an array": (_array("object array"), "SC-01", 9),
    "SC_01 a pickle called an array": (_array("protocol 5"), "SC-01", 9),
    "SC_08 MHD that names data elsewhere": (_volume("ct.mhd", _MHD), None, 3),
    "SC_08 NRRD that names data elsewhere": (_volume("ct.nhdr", _NRRD), None, 3),
}


@pytest.mark.parametrize("door", ["segment", "check"])
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_that_carries_a_payload_is_refused_G11(name, door, tmp_path, canary):
    make, fault_id, exit_code = STUDIES[name]
    write_tiny_package(tmp_path / "package")
    (tmp_path / "studies/one").mkdir(parents=True)
    study = make(tmp_path / "studies/one", canary)
    if door == "segment":
        said = femseg("segment", study, "-o", tmp_path / "mask.nii.gz", "--model", tmp_path / "package")
    else:
        place = study if study.suffix == ".zip" else tmp_path / "studies"
        said = femseg("check", place, "--no-masks", "--html", tmp_path / "check.html")
    assert said[0] in (exit_code, 3, 4) if fault_id is None else said[0] == exit_code, said
    assert (fault_id or "IN-") in said[1]
    assert not (tmp_path / "mask.nii.gz").exists()


def test_markup_and_formulas_in_names_stay_words_on_the_page_SC_08(tmp_path):
    for name in (MARKUP.replace("/", ""), FORMULA.replace("/", ""), "</title><script>alert(1)<!--".replace("/", "")):
        write_volume_study(tmp_path / "studies" / name)
    femseg("check", tmp_path / "studies", "--html", tmp_path / "check.html")
    page = (tmp_path / "check.html").read_text()
    assert requests_of(page) == []
    assert "<img src=x" not in page
    assert "<script>alert" not in page


def test_markup_in_a_model_and_in_mlflows_tags_stays_words_on_the_card_SC_08(registry, tmp_path):
    client, run_id = registry
    client.set_tag(run_id, "mlflow.source.name", MARKUP)
    client.set_tag(run_id, "ray_job", MARKUP)
    said = femseg("lineage", "1", "--json")
    assert any(MARKUP in link["value"] + link["note"] for link in json.loads(said[1].partition("\nerror")[0])["links"])


def test_a_registry_whose_tags_hold_code_keeps_it_as_text(registry, canary):
    """SQL and shell marks in a version's tags go through every command as words."""
    client, _ = registry
    evil = f"'; DROP TABLE tags; -- $(mkdir {canary}) `mkdir {canary}`"
    client.set_model_version_tag(MODEL_NAME, "1", "predictions_sha256", evil)
    assert femseg("promote", "1", "--dry-run")[0] == 8
    database = client.tracking_uri.removeprefix("sqlite:///")
    with closing(sqlite3.connect(database)) as opened:
        assert opened.execute("SELECT count(*) FROM tags").fetchone()[0] > 0
