"""What the viewer loads lies where the CT lay, and stays small."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from page_case import GRID, ct, labels

from femseg.meshes.mesh import TriangleMesh
from femseg.reports.case.scene import cropped, ct_nrrd, labels_nrrd, mz3, scene_grid
from femseg.volumes.grid import CtVolume, LabelVolume, VoxelGrid

SQUARE = np.sqrt(0.5)
OBLIQUE = (SQUARE, -SQUARE, 0.0, SQUARE, SQUARE, 0.0, 0.0, 0.0, -1.0)  # also head down


def read(content, folder):
    (folder / "file.nrrd").write_bytes(content)
    return sitk.ReadImage(str(folder / "file.nrrd"))


@pytest.mark.parametrize("direction_xyz", [GRID.direction_xyz, OBLIQUE])
def test_another_reader_finds_each_femur_where_it_lay(tmp_path, direction_xyz):
    grid = VoxelGrid(
        shape_zyx=GRID.shape_zyx,
        spacing_mm_zyx=GRID.spacing_mm_zyx,
        origin_mm_xyz=GRID.origin_mm_xyz,
        direction_xyz=direction_xyz,
    )
    made = LabelVolume(labels_zyx=labels().labels_zyx, grid=grid)
    around, own = cropped(CtVolume(hu_zyx=ct().hu_zyx, grid=grid), made, margin_mm=10.0)
    coarse = scene_grid(around.grid)
    shown = read(labels_nrrd(own, coarse), tmp_path)
    grey = read(ct_nrrd(around, coarse), tmp_path)
    for label in (1, 2):
        truth = grid.positions_mm_xyz(np.argwhere(made.labels_zyx == label)).mean(axis=0)
        indices = np.argwhere(sitk.GetArrayFromImage(shown) == label)[:, ::-1].astype(float)
        found = np.mean([shown.TransformContinuousIndexToPhysicalPoint(index.tolist()) for index in indices], axis=0)
        np.testing.assert_allclose(found, truth, atol=1.0)
        bright = sitk.GetArrayFromImage(grey)[tuple(indices.mean(axis=0).round().astype(int)[::-1])]
        assert bright > 200
    assert grey.GetOrigin() == shown.GetOrigin()


def test_the_largest_ct_still_fits_into_a_page():
    whole_body = VoxelGrid(shape_zyx=(1000, 512, 512), spacing_mm_zyx=(1.0, 0.9, 0.9))
    coarse = scene_grid(whole_body)
    assert np.prod(coarse.shape_zyx) <= 3.1e6
    np.testing.assert_allclose(coarse.extent_mm_zyx, whole_body.extent_mm_zyx)


def test_a_coarse_ct_is_not_made_finer():
    coarse = VoxelGrid(shape_zyx=(20, 30, 40), spacing_mm_zyx=(5.0, 3.0, 3.0))
    assert scene_grid(coarse).shape_zyx == coarse.shape_zyx


def test_a_mesh_file_holds_vertices_in_ras_and_the_colours():
    mesh = TriangleMesh(
        vertices_mm_xyz=np.array([[10.0, 20.0, 30.0], [11.0, 20.0, 30.0], [10.0, 21.0, 30.0]]),
        triangles=np.array([[0, 1, 2]]),
    )
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    content = gzip.decompress(mz3(mesh, colours))
    magic, holds, triangles, vertices, skipped = struct.unpack("<HHIII", content[:16])
    assert (magic, holds, triangles, vertices, skipped) == (0x5A4D, 0b111, 1, 3, 0)
    np.testing.assert_array_equal(np.frombuffer(content[16:28], "<i4"), [0, 1, 2])
    np.testing.assert_array_equal(np.frombuffer(content[28:64], "<f4")[:3], [-10.0, -20.0, 30.0])
    assert content[64:] == bytes([255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255])


def test_equal_content_gives_equal_bytes():
    around, own = cropped(ct(), labels(), margin_mm=10.0)
    coarse = scene_grid(around.grid)
    assert ct_nrrd(around, coarse) == ct_nrrd(around, coarse)
    assert labels_nrrd(own, coarse) == labels_nrrd(own, coarse)
