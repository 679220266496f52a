"""`femseg lineage`: from a mask that `femseg segment` wrote to the model, and an exit code 4 where the way breaks."""

import json
import shutil
from pathlib import Path

import pytest
from study_maker import ct_hu, write_dicom_study, write_nifti
from tiny_model import JUDGED, write_tiny_package
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.lineage.records import read_record, record_beside
from femseg.services.registry.challenger import propose
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import register_package
from femseg.services.tracking.connect import connect, end_run, start_run

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A store with one version, in a folder that is no repository: client, run id, package."""
    folder = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
        client, experiment_id = connect()
        sha256 = write_tiny_package(folder / "package")
        tags = {"package_sha256": sha256, "ray_job": "raysubmit_7"}
        run_id = start_run(client, experiment_id, name="train-raw", params={}, tags=tags)
        end_run(client, run_id, "FINISHED")
        register_package(client, folder / "package", run_id=run_id, tags={}, input_channels=1)
        propose(client, 1)
        end_run(client, run_id, "FINISHED")
        yield client, run_id, folder / "package"


@pytest.fixture
def mask(registered, tmp_path, monkeypatch) -> Path:
    """A mask that the registered version made, in a folder of its own, which is where the commands run."""
    monkeypatch.delenv("FEMSEG_DEBUG", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ct = write_nifti(tmp_path / "Mustermann_Max.nii.gz", ct_hu())
    done = segmented(ct, tmp_path / "here" / "mask.nii.gz", "--model", "challenger")
    assert done.exit_code in JUDGED, done.output
    return tmp_path / "here" / "mask.nii.gz"


def segmented(ct, output, *words):
    """The tiny model finds no femur, and its mask is written all the same."""
    return femseg("segment", ct, "-o", output, "--write-rejected", *words)


def femseg(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def links(done) -> dict[str, dict[str, str]]:
    return {link["what"]: link for link in json.loads(done.stdout)["links"]}


def test_a_mask_leads_to_its_model_version_run_and_job(mask, registered):
    found = links(femseg("lineage", mask, "--json"))
    assert found["file mask.nii.gz"]["state"] == "holds"
    assert found["registered version"]["value"] == f"models:/{MODEL_NAME}/1"
    assert found["MLflow run"] == {**found["MLflow run"], "value": registered[1], "state": "holds"}
    assert found["job"]["value"] == "raysubmit_7"
    assert found["CT series"]["state"] == "not here"


def test_a_package_that_names_no_commit_and_no_data_is_broken_there_by_name(mask):
    done = femseg("lineage", mask)
    assert done.exit_code == 4
    assert "✗ git commit" in done.stdout
    assert all(line.startswith("error LN-01: ") and ". Fix: " in line for line in done.stderr.splitlines())


def test_a_record_names_nobody_and_no_place(mask, tmp_path):
    text = record_beside(mask).read_text()
    assert "Mustermann" not in text
    assert str(tmp_path) not in text
    assert "mask.nii.gz" not in text


def test_the_record_of_a_dicom_series_and_of_its_zip_name_the_same_ct(mask, registered, tmp_path):
    study = write_dicom_study(tmp_path / "study")
    shutil.rmtree(study / "mask")
    series = []
    for number, ct in enumerate((study, shutil.make_archive(str(study), "zip", study))):
        output = tmp_path / f"mask{number}.nii.gz"
        assert segmented(ct, output, "--model", registered[2]).exit_code in JUDGED
        series.append(read_record(record_beside(output)).cts)
    assert series[0] == series[1]


def test_an_altered_mask_is_a_broken_link(mask):
    mask.write_bytes(mask.read_bytes()[:-1] + b"x")
    done = femseg("lineage", mask, "--json")
    assert done.exit_code == 4
    assert links(done)["file mask.nii.gz"]["state"] == "broken"
    assert any("its record says" in fault["problem"] for fault in json.loads(done.stdout)["faults"])


def test_a_mask_without_a_record_comes_from_nowhere(mask):
    record_beside(mask).unlink()
    done = femseg("lineage", mask)
    assert done.exit_code == 4
    assert "error LN-02" in done.stderr


def test_an_altered_record_is_refused(mask):
    record = record_beside(mask)
    record.write_text(record.read_text().replace('"mask"', '"mesh"'))
    done = femseg("lineage", mask)
    assert (done.exit_code, "error ST-02" in done.stderr) == (4, True)


def test_a_model_that_nobody_holds_is_a_broken_link(mask, registered, tmp_path):
    shutil.copytree(registered[2], tmp_path / "other")
    write_tiny_package(tmp_path / "other", seed=5)
    done = segmented(tmp_path / "Mustermann_Max.nii.gz", "b.nii.gz", "--model", tmp_path / "other")
    assert done.exit_code in JUDGED
    done = femseg("lineage", "b.nii.gz", "--json")
    assert done.exit_code == 4
    assert links(done)["model package"]["state"] == "broken"


def test_a_version_leads_back_to_the_masks_that_came_of_it(mask):
    for version in ("1", "challenger", f"models:/{MODEL_NAME}@challenger"):
        outputs = json.loads(femseg("lineage", version, "--json").stdout)["outputs"]
        assert outputs == [{"path": "mask.nii.gz", "kind": "segmentation", "state": "holds"}]
    mask.unlink()
    (output,) = json.loads(femseg("lineage", "1", "--json").stdout)["outputs"]
    assert output["state"] == "gone"


def test_a_ct_leads_to_the_masks_that_were_made_of_it(mask):
    (series,) = read_record(record_beside(mask)).cts.values()
    said = json.loads(femseg("lineage", series, "--json").stdout)
    assert said["outputs"] == [{"path": "mask.nii.gz", "kind": "segmentation", "state": "holds"}]
    assert said["links"][0]["state"] == "not here"  # there is no cohort in this folder
    assert femseg("lineage", "0" * 64).exit_code == 2


@pytest.mark.parametrize("status", ["RUNNING", "FAILED"])
def test_a_run_that_has_not_finished_breaks_the_lineage(mask, registered, status):
    client, run_id, _ = registered
    try:
        client.update_run(run_id, status=status)
        assert links(femseg("lineage", mask, "--json"))["MLflow run"]["state"] == "broken"
    finally:
        end_run(client, run_id, "FINISHED")
    client.delete_run(run_id)
    try:
        assert links(femseg("lineage", mask, "--json"))["MLflow run"]["note"] == "was deleted"
    finally:
        client.restore_run(run_id)


@pytest.mark.parametrize(("subject", "exit_code"), [("no/such.nii.gz", 2), ("99", 2), ("nobody", 2)])
def test_what_is_neither_a_file_nor_a_version_is_refused(mask, subject, exit_code):
    done = femseg("lineage", subject)
    assert done.exit_code == exit_code
    assert len(done.stderr.splitlines()) == 1


def test_looking_makes_no_tracking_store(mask, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none' / 'mlflow.db'}")
    done = femseg("lineage", mask)
    assert done.exit_code == 4
    assert not (tmp_path / "none").exists()
    assert femseg("replay", "1").exit_code == 2


def test_a_version_without_an_evaluation_or_a_card_says_so(mask):
    assert "error LN-01" in femseg("replay", "1").stderr
    done = femseg("card", "1")
    assert (done.exit_code, "has no model card" in done.stderr) == (2, True)


def test_a_file_that_is_no_record_in_the_records_place_is_never_written_over(mask, registered, tmp_path):
    other = tmp_path / "here" / "c.nii.gz"
    record_beside(other).write_text("mine")
    done = segmented(tmp_path / "Mustermann_Max.nii.gz", other, "--model", registered[2])
    assert (done.exit_code, "error IF-08" in done.stderr) == (2, True)
    assert record_beside(other).read_text() == "mine"
    assert not other.exists()
