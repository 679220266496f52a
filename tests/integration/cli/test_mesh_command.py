"""`femseg mesh`: a solid of each femur where the mask lies, or one line that says why not and no file."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import trimesh
from study_maker import ct_hu, write_nifti
from tiny_model import JUDGED, write_tiny_package
from typer.testing import CliRunner

from femseg.cli.main import app

SPACING_XYZ = (2.0, 2.0, 2.5)


@pytest.fixture
def femseg(monkeypatch):
    monkeypatch.delenv("FEMSEG_DEBUG", raising=False)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


def write_thighs(path: Path, *, left=1, right=1, cut_off=False) -> Path:
    """Two shafts as nibabel places them, in RAS: the right one 12 mm thick at x = 50, the left one 16 mm at x = -50.

    Voxels run towards the patient's left, posterior and superior.
    """
    shape = (70, 20, 40)
    affine = np.diag((-SPACING_XYZ[0], -SPACING_XYZ[1], SPACING_XYZ[2], 1.0))
    affine[:3, 3] = (70.0, 20.0, -300.0)
    ras = nib.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    inside = np.zeros(shape, np.uint8)
    along = np.abs(ras[..., 2] + 250.0) < (1000.0 if cut_off else 35.0)
    for value, x, radius in ((right, 50.0, 12.0), (left, -50.0, 16.0)):
        inside[along & (np.hypot(ras[..., 0] - x, ras[..., 1] - 1.0) < radius)] = value
    nib.save(nib.Nifti1Image(inside, affine), path)
    return path


def assert_refused(done, exit_code: int, says: str) -> None:
    assert done.exit_code == exit_code, done.output
    (line,) = done.stderr.splitlines()
    assert line.startswith("error ")
    assert says in line


def test_two_femora_of_one_value_are_told_apart_by_place_and_lie_where_they_lay(femseg, tmp_path):
    mask = write_thighs(tmp_path / "mask.nii.gz")
    done = femseg("mesh", mask, "-o", tmp_path / "femur.stl", "--json")
    assert done.exit_code == 0, done.output
    voxels = np.asanyarray(nib.load(mask).dataobj)
    middle = voxels.shape[0] // 2
    for side, x_lps, own in (("left", 50.0, voxels[middle:]), ("right", -50.0, voxels[:middle])):
        mesh = trimesh.load_mesh(tmp_path / f"femur-{side}.stl")
        assert mesh.is_watertight
        np.testing.assert_allclose(mesh.bounds.mean(axis=0), (x_lps, -1.0, -250.0), atol=1.3)
        assert mesh.volume == pytest.approx(own.sum() * np.prod(SPACING_XYZ), rel=0.005)


def test_the_record_says_what_was_measured_and_of_which_files(femseg, tmp_path):
    mask = write_thighs(tmp_path / "mask.nii.gz")
    done = femseg("mesh", mask, "-o", tmp_path / "femur.ply", "--json", "--ras")
    told = json.loads(done.stdout)
    assert [Path(one["file"]).name for one in told] == ["femur-left.ply", "femur-right.ply"]
    for one in told:
        record = json.loads(Path(one["file"] + ".json").read_text())
        assert record == one | {"file": Path(one["file"]).name}
        assert record["sha256"] == hashlib.sha256(Path(one["file"]).read_bytes()).hexdigest()
        assert record["mask_sha256"] == hashlib.sha256(mask.read_bytes()).hexdigest()
        assert (record["frame"], record["unit"]) == ("RAS", "mm")
        assert abs(record["deviation"]["volume_drift"]) < 0.005
        for sense in ("to_mask", "to_mesh"):
            found = record["deviation"][sense]
            assert 0 < found["mean_mm"] < found["p95_mm"] < found["max_mm"] < 2.5


def test_deviation_and_drift_are_printed_without_being_asked_for(femseg, tmp_path):
    done = femseg("mesh", write_thighs(tmp_path / "mask.nii.gz", cut_off=True), "-o", tmp_path / "femur.glb")
    lines = done.stdout.splitlines()
    assert "closed and outward, LPS mm" in lines[0]
    assert "mesh to mask: mean" in lines[1]
    assert "mask to mesh: mean" in lines[1]
    assert "of vertices within 0.25 mm of the mask's surface, volume" in lines[2]


def test_values_name_the_sides_also_against_their_place(femseg, tmp_path):
    mask = write_thighs(tmp_path / "mask.nii.gz", left=7, right=3)
    assert_refused(femseg("mesh", mask, "-o", tmp_path / "f.stl"), 3, "holds the values 3, 7, and")
    done = femseg("mesh", mask, "-o", tmp_path / "f.stl", "--label", "left=7", "--label", "right=3")
    assert done.exit_code == 0, done.output
    assert trimesh.load_mesh(tmp_path / "f-left.stl").bounds[0, 0] > 0
    assert femseg("mesh", mask, "-o", tmp_path / "r.stl", "--label", "right=3").exit_code == 0
    assert trimesh.load_mesh(tmp_path / "r.stl").bounds[1, 0] < 0
    assert_refused(femseg("mesh", mask, "-o", tmp_path / "x.stl", "--label", "left=5"), 3, "IN-22")


def test_cut_in_two_each_part_is_a_file_and_the_plane_is_in_the_files_frame(femseg, tmp_path):
    mask = write_thighs(tmp_path / "mask.nii.gz", right=0)
    done = femseg("mesh", mask, "-o", tmp_path / "f.3mf", "--ras", "--cut=-45,0,-240,1,0,0", "--build", "50,50,40")
    assert done.exit_code == 0, done.output
    assert "does not fit into 50 × 50 × 40 mm" in done.stdout
    one, other = (trimesh.load_scene(tmp_path / f"f-{part}.3mf").to_mesh() for part in (1, 2))
    assert one.is_watertight
    assert other.is_watertight
    assert one.bounds[0, 0] == pytest.approx(-45.0, abs=1e-3)  # where the normal points to
    assert other.bounds[1, 0] == pytest.approx(-45.0, abs=1e-3)
    missed = femseg("mesh", mask, "-o", tmp_path / "g.stl", "--cut", "0,0,0,0,0,1")
    assert_refused(missed, 2, "beside the plane")
    assert not list(tmp_path.glob("g*"))


def test_thin_places_are_remarked(femseg, tmp_path):
    mask = write_thighs(tmp_path / "mask.nii.gz", right=0)
    done = femseg("mesh", mask, "-o", tmp_path / "f.stl", "--wall", "40")
    assert "thinner than 40 mm behind" in done.stdout


def test_an_existing_file_or_record_is_replaced_only_when_asked_IF_08(femseg, tmp_path):
    mask = write_thighs(tmp_path / "mask.nii.gz", right=0)
    for name in ("f.stl", "f-left.stl", "f.stl.json"):
        (tmp_path / name).write_text("mine")
        assert_refused(femseg("mesh", mask, "-o", tmp_path / "f.stl"), 2, "IF-08")
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    (tmp_path / "f.stl").write_text("mine")
    assert femseg("mesh", mask, "-o", tmp_path / "f.stl", "--overwrite").exit_code == 0
    assert trimesh.load_mesh(tmp_path / "f.stl").is_watertight


def test_what_cannot_be_meant_is_refused(femseg, tmp_path):
    mask = write_thighs(tmp_path / "mask.nii.gz")
    assert_refused(femseg("mesh", mask, "-o", tmp_path / "f.obj"), 2, ".stl, .ply, .3mf, .glb")
    assert_refused(femseg("mesh", mask, "-o", tmp_path / "f.stl", "--cut", "1,2,3"), 2, "6 numbers")
    assert_refused(femseg("mesh", mask, "-o", tmp_path / "f.stl", "--build", "a,b,c"), 2, "3 numbers")
    assert_refused(femseg("mesh", mask, "-o", tmp_path / "f.stl", "--label", "up=1"), 2, "--label")
    assert_refused(femseg("mesh", tmp_path / "no.nii.gz", "-o", tmp_path / "f.stl"), 3, "no.nii.gz")
    empty = write_thighs(tmp_path / "empty.nii.gz", left=0, right=0)
    assert_refused(femseg("mesh", empty, "-o", tmp_path / "f.stl"), 3, "IN-22")
    assert not list(tmp_path.glob("*.stl"))


@pytest.mark.parametrize("gone", ["skimage", "trimesh", "manifold3d", "fast_simplification"])
def test_without_the_extra_one_line_says_how_to_install_it_CFG_02(tmp_path, gone):
    """In a process of its own, where the import fails as it does without the package."""
    code = f"import sys; sys.modules[{gone!r}] = None; from femseg.cli.main import main; main()"
    mask = write_thighs(tmp_path / "mask.nii.gz")
    words = [sys.executable, "-c", code, "mesh", mask, "-o", tmp_path / "f.stl"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error CFG-02: femseg mesh: needs ")
    assert line.endswith("Fix: pip install 'femseg[mesh]'.")


def test_a_killed_writer_leaves_the_earlier_mesh_and_the_next_one_sweeps_up(femseg, tmp_path):
    mask, output = write_thighs(tmp_path / "mask.nii.gz", right=0), tmp_path / "f.stl"
    assert femseg("mesh", mask, "-o", output).exit_code == 0
    before = output.read_bytes()
    code = (
        "import os, signal\nfrom femseg.meshes import files\nfrom femseg.cli.main import main\n"
        "files.read_corners_mm = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\nmain()"
    )
    words = [sys.executable, "-c", code, "mesh", mask, "-o", output, "--overwrite", "--tolerance", "0"]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert output.read_bytes() == before
    assert list(tmp_path.glob(".*part*"))
    assert femseg("mesh", mask, "-o", output, "--overwrite", "--tolerance", "0").exit_code == 0
    assert output.read_bytes() != before
    assert not list(tmp_path.glob(".*part*"))


def test_segment_writes_the_mesh_of_its_mask(femseg, tmp_path):
    """The tiny model's mask is no femur, but what it is comes out as a solid, or is refused as none."""
    write_tiny_package(tmp_path / "package")
    ct = write_nifti(tmp_path / "ct.nii.gz", ct_hu())
    mask, mesh = tmp_path / "mask.nii.gz", tmp_path / "femur.stl"
    words = ("--model", tmp_path / "package", "--write-rejected", "--json")
    done = femseg("segment", ct, "-o", mask, "--mesh", mesh, *words)
    assert mask.is_file()
    if np.any(nib.load(mask).get_fdata()):
        assert done.exit_code in JUDGED, done.output
        told = json.loads(done.stdout)["meshes"]
        again = femseg("mesh", mask, "-o", tmp_path / "again.stl", "--json")  # its values are known by its record
        assert [one["side"] for one in json.loads(again.stdout)] == [one["side"] for one in told]
        assert all(trimesh.load_mesh(one["file"]).is_watertight for one in told)
        assert told[0]["mask_sha256"] == hashlib.sha256(mask.read_bytes()).hexdigest()
    else:
        assert_refused(done, 3, "IN-22")
    done = femseg("segment", ct, "-o", tmp_path / "b.nii.gz", "--model", tmp_path / "package", "--mesh", "x.obj")
    assert_refused(done, 2, ".stl")
    assert not os.path.lexists(tmp_path / "b.nii.gz")
