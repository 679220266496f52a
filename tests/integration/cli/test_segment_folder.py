"""`femseg segment FOLDER -o OUT`: every study gets its mask or its fault, and what is done is not done again."""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from security.html_requests import requests_of
from study_maker import affine_ras, ct_hu, write_dicom_study, write_nifti
from tiny_model import JUDGED, write_tiny_package
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.faults import ExitCode
from femseg.lineage.records import hashes_of, read_record


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    write_tiny_package(folder)
    return folder


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """A good study, one whose file is cut short, and the first one once more with a mask of its own beside it."""
    folder = tmp_path_factory.mktemp("studies")
    for name in ("a", "b", "c"):
        (folder / name).mkdir()
        write_nifti(folder / name / "ct.nii.gz", ct_hu())
    write_nifti(folder / "c" / "mask.nii.gz", np.ones_like(ct_hu(), dtype=np.uint8))
    whole = (folder / "b" / "ct.nii.gz").read_bytes()
    (folder / "b" / "ct.nii.gz").write_bytes(whole[: len(whole) // 2])
    return folder


def run(folder, out, package, *words, wanted=("--mesh", "femur.stl", "--page", "page.html", "--sheet", "sheet.csv")):
    words = ("--model", str(package), "--write-rejected", *wanted, *words)
    command = ["segment", str(folder), "-o", str(out), *words]
    return CliRunner().invoke(app, command)


def table(out):
    with (out / "segmentations.csv").open(newline="") as file:
        return {row["study"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def done(studies, package, tmp_path_factory):
    out = tmp_path_factory.mktemp("done") / "out"
    return out, run(studies, out, package)


@pytest.fixture
def out(done, tmp_path):
    shutil.copytree(done[0], tmp_path / "out")
    return tmp_path / "out"


def test_a_bad_study_does_not_stop_the_others(done, studies):
    out, command = done
    assert command.exit_code == ExitCode.INTEGRITY
    (line,) = command.stderr.strip().splitlines()[-1:]
    assert line.startswith("error IN-")
    assert "b" in line
    assert {name: row["state"] for name, row in table(out).items()} == {
        "a": "segmented",
        "b": "refused",
        "c": "segmented",
    }
    assert sorted(path.name for path in out.iterdir()) == ["a", "c", "index.html", "segmentations.csv"]
    for name in ("a", "c"):
        mask = nib.load(out / name / "mask.nii.gz")
        assert mask.shape == nib.load(studies / name / "ct.nii.gz").shape
        np.testing.assert_allclose(mask.affine, affine_ras(), atol=1e-6)
        facts = json.loads((out / name / "result.json").read_text())
        ml = np.count_nonzero(mask.get_fdata()) * np.prod(mask.header.get_zooms()) / 1000
        assert facts["femur_ml"] == pytest.approx(ml, rel=1e-5)
        assert facts["verdict"]["word"] == table(out)[name]["verdict"]


def test_a_folder_gives_each_study_the_same_files_as_a_ct_alone(done, studies, package, tmp_path):
    ct, mask = studies / "a" / "ct.nii.gz", tmp_path / "mask.nii.gz"
    alone = run(
        ct, mask, package, wanted=("--mesh", str(tmp_path / "femur.stl"), "--sheet", str(tmp_path / "sheet.csv"))
    )
    assert alone.exit_code in JUDGED, alone.output
    written = done[0] / "a"
    for name in ("mask.nii.gz", "femur.stl", "femur.stl.json", "sheet.csv"):
        assert (written / name).read_bytes() == (tmp_path / name).read_bytes(), name
    (mesh,) = json.loads((written / "result.json").read_text())["meshes"]
    assert mesh == json.loads((written / "femur.stl.json").read_text())
    record = read_record(written / "lineage.json")
    assert hashes_of(written, record.files) == record.files
    assert {path.name for path in written.iterdir()} == {*record.files, "lineage.json"}


def test_each_study_has_a_page_and_all_of_them_an_index(done):
    out, _ = done
    index = (out / "index.html").read_text()
    assert requests_of(index) == ["a/page.html", "c/page.html", "segmentations.csv"]
    assert all((out / link).is_file() for link in requests_of(index))
    assert index.count('src="data:image/webp;base64,') == 2
    assert "<b>IN-" in index


def test_the_same_ct_under_two_names_is_segmented_and_said_to_be_the_same_IN_23(done, out, studies, package):
    command = done[1]
    again = run(studies, out, package, "--json")  # both are kept
    assert {one["study"]: one["state"] for one in json.loads(again.stdout)} == {
        "a": "kept",
        "b": "refused",
        "c": "kept",
    }
    assert {one["study"]: one.get("same_as") for one in json.loads(again.stdout)} == {"a": None, "b": None, "c": "a"}
    assert {name: row["same_as"] for name, row in table(done[0]).items()} == {"a": "", "b": "", "c": "a"}
    assert command.stdout.count("IN-23") == (done[0] / "index.html").read_text().count("IN-23") == 1
    assert "\n  IN-23: is the same study as a\n" in command.stdout
    assert "IN-23" not in command.stderr


def test_what_goes_into_each_studys_folder_is_named_without_a_place(studies, package, tmp_path):
    for name, says in ((str(tmp_path / "femur.stl"), "the file's name alone: femur.stl"), ("femur.obj", ".stl, .ply")):
        refused = run(studies, tmp_path / "out", package, wanted=("--mesh", name))
        assert refused.exit_code == ExitCode.USAGE
        assert says in refused.stderr
        assert not (tmp_path / "out").exists()


def test_what_is_done_and_whole_is_kept_and_what_is_missing_is_made(out, studies, package):
    shutil.rmtree(out / "c")
    before = (out / "a" / "mask.nii.gz").stat()
    index = (out / "index.html").read_bytes()
    again = run(studies, out, package)
    assert (out / "index.html").read_bytes() == index  # also of a study that was kept
    assert {name: row["state"] for name, row in table(out).items()} == {"a": "kept", "b": "refused", "c": "segmented"}
    assert (out / "a" / "mask.nii.gz").stat().st_ino == before.st_ino
    assert again.exit_code == ExitCode.INTEGRITY


@pytest.mark.slow
def test_outputs_that_were_altered_or_are_of_another_model_are_neither_kept_nor_replaced_IF_08(
    out, studies, package, tmp_path
):
    with (out / "a" / "mask.nii.gz").open("ab") as file:
        file.write(b"more")
    altered = (out / "a" / "mask.nii.gz").read_bytes()
    write_tiny_package(tmp_path / "other", seed=5)
    run(studies, out, package)
    assert "IF-08" in table(out)["a"]["faults"]
    run(studies, out, tmp_path / "other")
    assert "IF-08" in table(out)["c"]["faults"]
    assert (out / "a" / "mask.nii.gz").read_bytes() == altered
    run(studies, out, package, "--overwrite")
    assert table(out)["a"]["state"] == "segmented"
    assert (out / "a" / "mask.nii.gz").read_bytes() != altered


def test_outputs_do_not_go_among_the_studies_IF_08(studies, package):
    refused = run(studies, studies / "out", package)
    assert refused.exit_code == ExitCode.USAGE
    assert "IF-08" in refused.stderr
    assert not (studies / "out").exists()


@pytest.mark.slow
def test_a_dicom_study_by_itself_may_go_into_a_folder_and_as_json(package, tmp_path):
    write_dicom_study(tmp_path / "study")
    found = run(tmp_path / "study", tmp_path / "out", package, "--json")
    assert found.exit_code in JUDGED, found.stderr
    (one,) = json.loads(found.stdout)
    assert one["state"] == "segmented"
    assert Path(one["mask"]).is_file()
