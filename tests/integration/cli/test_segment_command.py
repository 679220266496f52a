"""`femseg segment`: a mask on the CT's own grid, or one line that says why not and no file."""

import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from study_maker import affine_ras, ct_hu, write_dicom_study, write_nifti
from tiny_model import JUDGED, write_tiny_package
from typer.testing import CliRunner

from femseg.cli.main import app

REAL_DATA = Path(os.environ.get("FEMSEG_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
PELVIS = REAL_DATA / "pelvis_ct"


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    write_tiny_package(folder)
    return folder


@pytest.fixture
def ct(tmp_path) -> Path:
    return write_nifti(tmp_path / "ct.nii.gz", ct_hu())


@pytest.fixture
def segment(monkeypatch, package):
    monkeypatch.delenv("FEMSEG_DEBUG", raising=False)

    def run(ct, output, *words, model=package, options=()):
        return CliRunner().invoke(
            app,
            [
                *options,
                "segment",
                str(ct),
                "-o",
                str(output),
                "--model",
                str(model),
                "--write-rejected",
                *map(str, words),
            ],
        )

    return run


def assert_refused(done, output: Path, exit_code: int, says: str) -> None:
    assert done.exit_code == exit_code, done.output
    (line,) = done.stderr.splitlines()
    assert line.startswith("error ")
    assert ". Fix: " in line
    assert says in line
    assert not output.exists()
    assert not list(output.parent.glob(".*part*"))


def test_the_mask_lies_on_the_cts_own_grid_IF_02(segment, ct, tmp_path):
    done = segment(ct, tmp_path / "mask.nii.gz", "--json")
    assert done.exit_code in JUDGED, done.output
    mask = nib.load(tmp_path / "mask.nii.gz")
    assert mask.shape == nib.load(ct).shape
    np.testing.assert_allclose(mask.affine, affine_ras(), atol=1e-6)
    values = np.asanyarray(mask.dataobj)
    assert set(np.unique(values)) <= {0, 1, 2, 3}
    said = json.loads(done.stdout)
    voxel_ml = 4.0 * 3.0 * 2.5 / 1000
    assert said["femur_ml"] == pytest.approx((values > 0).sum() * voxel_ml)
    assert said["femora"]
    for femur in said["femora"].values():
        assert femur["volume_ml"] == pytest.approx((values == femur["label"]).sum() * voxel_ml)
    assert said["input_mode"] == "raw"


def test_a_model_of_phantoms_says_so_before_anything_else(segment, ct, tmp_path):
    write_tiny_package(tmp_path / "phantoms", cohort_source="phantom")
    write_tiny_package(tmp_path / "patients", cohort_source="dicom")
    done = segment(ct, tmp_path / "a.nii.gz", model=tmp_path / "phantoms")
    assert done.output.startswith("warning: this model was trained on phantoms alone and has seen no patient")
    assert "(learnt from phantoms, validation Dice 0.500" in done.output
    done = segment(ct, tmp_path / "b.nii.gz", "--json", model=tmp_path / "phantoms")
    assert json.loads(done.stdout)["remarks"][0].startswith("this model was trained on phantoms alone")
    done = segment(ct, tmp_path / "c.nii.gz", model=tmp_path / "patients")
    assert "trained on phantoms" not in done.output
    assert "(learnt from CTs of a cohort, validation Dice 0.500" in done.output


def test_a_dicom_folder_and_the_nifti_of_the_same_ct_give_the_same_voxels(segment, ct, tmp_path):
    write_dicom_study(tmp_path / "study")
    for source, name in ((ct, "a.nii.gz"), (tmp_path / "study" / "ct", "b.nii.gz")):
        assert segment(source, tmp_path / name).exit_code in JUDGED
    one, other = (np.asanyarray(nib.load(tmp_path / name).dataobj) for name in ("a.nii.gz", "b.nii.gz"))
    assert np.array_equal(one, other)


def test_twice_the_same_gives_the_same_bytes_IF_07(segment, ct, tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        assert segment(ct, tmp_path / name).exit_code in JUDGED
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_an_existing_file_is_replaced_only_when_asked_IF_08(segment, ct, tmp_path):
    output = tmp_path / "mask.nii.gz"
    output.write_text("mine")
    done = segment(ct, output)
    assert done.exit_code == 2
    assert "error IF-08" in done.stderr
    assert output.read_text() == "mine"
    assert segment(ct, output, "--overwrite").exit_code in JUDGED
    assert nib.load(output).shape == nib.load(ct).shape


def test_an_unknown_suffix_is_refused_before_any_work(segment, tmp_path):
    assert_refused(segment("/no/ct", tmp_path / "mask.tif"), tmp_path / "mask.tif", 2, ".nii.gz")


def test_a_missing_ct_is_refused(segment, tmp_path):
    assert_refused(segment("/no/ct.nii.gz", tmp_path / "m.nii.gz"), tmp_path / "m.nii.gz", 2, "does not exist")


@pytest.mark.parametrize("name", ["notes.txt", "notes.nii.gz", "notes.dcm", "notes"])
def test_a_text_file_is_no_ct(segment, tmp_path, name):
    (tmp_path / name).write_text("not a CT\n" * 100)
    done = segment(tmp_path / name, tmp_path / "m.nii.gz")
    assert done.exit_code in (3, 4)
    assert done.stderr.startswith("error IN-")
    assert not (tmp_path / "m.nii.gz").exists()


def test_a_torn_package_is_refused_RG_07(segment, ct, package, tmp_path):
    shutil.copytree(package, tmp_path / "torn")
    weights = tmp_path / "torn" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    done = segment(ct, tmp_path / "m.nii.gz", model=tmp_path / "torn")
    assert_refused(done, tmp_path / "m.nii.gz", 4, "weights.safetensors")


def test_a_package_that_is_not_there_is_refused(segment, ct, tmp_path):
    done = segment(ct, tmp_path / "m.nii.gz", model=tmp_path / "nowhere")
    assert_refused(done, tmp_path / "m.nii.gz", 4, "nowhere")


def test_a_version_is_refused_where_no_registry_is_and_none_is_made_RG_12(segment, ct, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = segment(ct, tmp_path / "m.nii.gz", model="99")
    assert_refused(done, tmp_path / "m.nii.gz", 2, "there is no registry here")
    assert not list((tmp_path / "here").iterdir())


def test_json_carries_the_faults_too(segment, tmp_path):
    done = segment("/no/ct.nii.gz", tmp_path / "m.nii.gz", "--json")
    assert done.exit_code == 2
    assert [fault["id"] for fault in json.loads(done.stdout)["faults"]] == ["CFG-01"]


def test_a_traceback_is_shown_only_when_asked(segment, tmp_path, monkeypatch):
    monkeypatch.setenv("FEMSEG_DEBUG", "0")  # put back what --debug sets
    done = segment("/no/ct.nii.gz", tmp_path / "m.nii.gz", options=["--debug"])
    assert done.exit_code == 1
    assert type(done.exception).__name__ == "Refusal"


@pytest.mark.skipif(not PELVIS.is_dir(), reason=f"no real data: {PELVIS} is absent (FEMSEG_REAL_DATA)")
def test_a_real_ct_is_segmented_on_its_own_grid(segment, tmp_path):
    done = segment(PELVIS / "ct.nii.gz", tmp_path / "mask.nii.gz", "--json")
    assert done.exit_code in JUDGED, done.output
    ct, mask = nib.load(PELVIS / "ct.nii.gz"), nib.load(tmp_path / "mask.nii.gz")
    assert mask.shape == ct.shape
    np.testing.assert_allclose(mask.affine, ct.affine, atol=1e-5)
    said = json.loads(done.stdout)
    assert said["metal_ml"] > 5
    assert any("IF-04" in reason for reason in said["verdict"]["reasons"])
    assert any("IF-12" in reason for reason in said["verdict"]["reasons"])


def test_the_ct_itself_is_never_replaced_even_with_overwrite(segment, ct):
    before = ct.read_bytes()
    done = segment(ct, ct, "--overwrite")
    assert done.exit_code == 2
    assert "is the CT itself" in done.stderr
    assert ct.read_bytes() == before


@pytest.mark.parametrize(("name", "says"), [("a" * 300 + ".nii", "no usable name"), ("folder.nii", "is a folder")])
def test_a_name_that_cannot_be_written_is_refused_before_the_work(segment, ct, tmp_path, name, says):
    (tmp_path / "folder.nii").mkdir()
    done = segment(ct, tmp_path / name, "--overwrite")
    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_series_that_the_study_does_not_hold_is_refused(segment, tmp_path):
    write_dicom_study(tmp_path / "study")
    done = segment(tmp_path / "study", tmp_path / "mask.nii.gz", "--series", "1.2.3.4")
    assert_refused(done, tmp_path / "mask.nii.gz", 3, "holds no CT series 1.2.3.4")


def test_a_zipped_ct_gives_the_mask_of_its_folder(segment, tmp_path):
    study = write_dicom_study(tmp_path / "study")
    shutil.rmtree(study / "mask")
    masks = []
    for number, ct in enumerate((study, shutil.make_archive(str(study), "zip", study))):
        done = segment(ct, tmp_path / f"mask{number}.nii.gz")
        assert done.exit_code in JUDGED, done.output
        masks.append(nib.load(tmp_path / f"mask{number}.nii.gz"))
    np.testing.assert_array_equal(masks[0].get_fdata(), masks[1].get_fdata())
    np.testing.assert_array_equal(masks[0].affine, masks[1].affine)


@pytest.mark.parametrize(
    ("output", "exit_code", "says"),
    [
        (".nii.gz", 2, "has nothing before its suffix"),
        ("new\nline.nii.gz", 2, "control characters"),
        ("/proc/mask.nii.gz", 2, "cannot be written there"),
        ("x" * 260 + ".nii.gz", 2, "File name too long"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(segment, ct, tmp_path, capfd, output, exit_code, says):
    done = segment(ct, tmp_path / output, model=tmp_path / "no model")
    assert done.exit_code == exit_code, done.output
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert capfd.readouterr() == ("", "")  # nothing of a native library's


def test_an_empty_path_is_not_the_folder_one_happens_to_be_in(segment, tmp_path):
    done = segment("", tmp_path / "mask.nii.gz")
    assert done.exit_code == 2
    assert "expected a path, got ''" in done.stderr
