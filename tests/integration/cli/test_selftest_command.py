"""`femseg selftest`: right exporters pass; a planted mirror, swap or shift is found by another library's reader."""

import json
import sys
import time
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from scipy.spatial import cKDTree
from typer.testing import CliRunner

import femseg.formats.dicom.writing.segmentation as dicom_seg
import femseg.meshes.files as mesh_files
from femseg.cli.main import app
from femseg.faults import ExitCode
from femseg.meshes.mesh import TriangleMesh
from femseg.selftest import exporters
from femseg.selftest.phantom import LEFT, RIGHT, SIDES, samples
from femseg.volumes.grid import LabelVolume

ALL = [*samples()]
SOME = [one for one in ALL if one.name in ("LPS", "IRA", "oblique 2")]  # the second is left-handed
VOLUMES, DICOM, MESHES = ["NIfTI", "NRRD", "MHA"], ["DICOM-SEG", "RTSTRUCT"], ["STL", "PLY", "3MF", "GLB"]


@pytest.fixture
def selftest(monkeypatch):
    monkeypatch.setattr(exporters, "samples", lambda: iter(SOME))
    monkeypatch.delenv("FEMSEG_DEBUG", raising=False)

    def run(family=None):
        if family is not None:
            monkeypatch.setattr(exporters, "FAMILIES", exporters.FAMILIES[family : family + 1])
        done = CliRunner().invoke(app, ["selftest", "--json"])
        return done, {one["exporter"]: one for one in json.loads(done.stdout)}

    return run


def test_every_exporter_puts_the_phantom_where_it_belongs(selftest):
    done, found = selftest()
    assert done.exit_code == 0, done.output
    assert list(found) == [*VOLUMES, *DICOM, *MESHES]
    for one in found.values():
        assert (one["state"], one["grids"]) == ("ok", 3)
        assert one["largest_mm"] <= 1e-3
    readers = {name: one["reader"].split()[0] for name, one in found.items()}
    assert readers == {
        **{"NIfTI": "nibabel", "NRRD": "SimpleITK", "MHA": "SimpleITK"},
        **dict.fromkeys(DICOM, "pydicom"),
        **dict.fromkeys(MESHES, "trimesh"),
    }


@pytest.mark.slow
def test_all_48_orientations_and_the_oblique_grids_take_less_than_a_minute_of_one_core():
    began = time.process_time()
    done = CliRunner().invoke(app, ["selftest"])
    assert done.exit_code == 0, done.output
    assert time.process_time() - began < 60
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*VOLUMES, *DICOM, *MESHES]
    assert all(" ok: largest error " in line and " 53 grids, read by " in line for line in done.stdout.splitlines())


def test_the_grids_are_all_ways_in_which_axes_can_run_and_some_oblique_ones():
    directions = [one.lps_of_xyz[:3, :3] / one.spacing_mm_zyx[::-1] for one in ALL]
    straight = {tuple(np.round(direction).ravel()) for direction in directions[:48]}
    assert len(straight) == 48
    assert all(np.abs(direction - np.round(direction)).max() > 0.1 for direction in directions[48:])
    assert {round(float(np.linalg.det(direction))) for direction in directions[48:]} == {-1, 1}
    assert len({one.name for one in ALL}) == len(ALL)


def test_no_mirrored_turned_or_swapped_phantom_is_the_phantom():
    places = {label: ALL[0].voxels_mm(label) - ALL[0].voxels_mm(LEFT).mean(axis=0) for label in SIDES}
    turns = [
        np.eye(3)[list(axes)] * signs for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3))
    ]
    for turn, swapped in product(turns, (False, True)):
        if swapped or not np.array_equal(turn, np.eye(3)):
            turned = {label: places[3 - label if swapped else label] @ turn for label in SIDES}
            turned = {label: one - turned[LEFT].mean(axis=0) for label, one in turned.items()}
            off = [cKDTree(places[label]).query(turned[label])[0].max() for label in SIDES]
            assert max(off) > 4  # mm, two voxels


def mirrored(labels: LabelVolume) -> LabelVolume:
    return LabelVolume(labels_zyx=labels.labels_zyx[:, :, ::-1].copy(), grid=labels.grid)


def swapped(labels: LabelVolume) -> LabelVolume:
    return LabelVolume(labels_zyx=np.array([0, RIGHT, LEFT], np.uint8)[labels.labels_zyx], grid=labels.grid)


def shifted(labels: LabelVolume) -> LabelVolume:
    x, y, z = labels.grid.origin_mm_xyz
    return LabelVolume(labels_zyx=labels.labels_zyx, grid=replace(labels.grid, origin_mm_xyz=(x, y + 0.01, z)))


def assert_failed(done, found, names, says="a point lies "):
    assert done.exit_code == ExitCode.INTEGRITY
    assert [name for name, one in found.items() if one["state"] == "failed"] == names
    assert all(says in found[name]["words"] for name in names)
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [["error ST-11", name] for name in names]


@pytest.mark.parametrize("plant", [mirrored, swapped, shifted])
def test_a_planted_fault_of_the_volume_files_is_found_ST_11(selftest, monkeypatch, plant):
    right = exporters.write_labels
    monkeypatch.setattr(exporters, "write_labels", lambda path, labels, *rest: right(path, plant(labels), *rest))
    says = " voxels of the " if plant is swapped else "a point lies "
    assert_failed(*selftest(0), VOLUMES, says)


@pytest.mark.parametrize("plant", [mirrored, swapped])
@pytest.mark.parametrize("name", DICOM)
def test_a_planted_fault_of_the_dicom_objects_is_found_ST_11(selftest, monkeypatch, plant, name):
    where, what = (dicom_seg, "write_segmentation") if name == "DICOM-SEG" else (exporters, "write_structure_set")
    right = getattr(where, what)
    monkeypatch.setattr(where, what, lambda path, labels, *rest, **told: right(path, plant(labels), *rest, **told))
    says = " voxels of the " if plant is swapped else "a point lies "
    assert_failed(*selftest(1), [name], says)


def test_contours_beside_the_voxels_edges_are_found_ST_11(selftest, monkeypatch):
    from femseg.formats.dicom.writing import structure_set

    straight = structure_set.outlines
    monkeypatch.setattr(structure_set, "outlines", lambda mask_yx: [one + 0.01 for one in straight(mask_yx)])
    assert_failed(*selftest(1), ["RTSTRUCT"], "beside the edges of its slice's voxels")


@pytest.mark.parametrize("axis", range(3))
def test_a_planted_mirror_of_the_meshes_is_found_ST_11(selftest, monkeypatch, axis):
    """What is written is read back by the writer as it was written; that alone would not find it."""
    right = mesh_files.write_mesh

    def wrong(path, mesh, frame="LPS"):
        middle = mesh.vertices_mm_xyz[:, axis].mean()
        vertices = mesh.vertices_mm_xyz.copy()
        vertices[:, axis] = 2 * middle - vertices[:, axis]
        right(path, TriangleMesh(vertices_mm_xyz=vertices, triangles=mesh.triangles[:, ::-1]), frame)

    monkeypatch.setattr(mesh_files, "write_mesh", wrong)
    assert_failed(*selftest(2), MESHES)


def test_a_frame_that_is_not_the_one_that_was_asked_for_is_found_ST_11(selftest, monkeypatch):
    right = mesh_files.write_mesh
    monkeypatch.setattr(mesh_files, "write_mesh", lambda path, mesh, frame="LPS": right(path, mesh))
    assert_failed(*selftest(2), ["STL", "PLY", "3MF"])  # GLB is upright in metres, whatever the frame


def test_what_is_not_installed_is_skipped_and_said(selftest, monkeypatch):
    for package in ("highdicom", "trimesh", "nibabel"):
        monkeypatch.setitem(sys.modules, package, None)
    done, found = selftest()
    assert done.exit_code == 0, done.output
    states = {name: one["state"] for name, one in found.items()}
    assert states == dict.fromkeys([*VOLUMES, "RTSTRUCT"], "ok") | dict.fromkeys(["DICOM-SEG", *MESHES], "skipped")
    assert found["DICOM-SEG"]["words"] == "extra dicom is not installed; pip install 'femseg[dicom]'"
    assert found["STL"]["words"] == "extra mesh is not installed; pip install 'femseg[mesh]'"
    assert found["NIfTI"]["reader"].startswith("SimpleITK")
