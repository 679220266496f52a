"""A mesh lies where the mask lay, in every orientation, out of every file, by readers that share no code with ours."""

import zipfile
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import trimesh
from asymmetric_solid import SLOPE, grid_of, probability_on, signed_distance_mm
from scipy import ndimage
from scipy.spatial.transform import Rotation

from femseg.meshes.femur import MeshSettings, femur_mesh
from femseg.meshes.files import SUFFIXES, write_mesh
from femseg.volumes.grid import MaskVolume

AXES = [np.eye(3)[:, list(axes)] * signs for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3))]
MIRRORED_OBLIQUE = Rotation.from_euler("xyz", (25, 40, -60), degrees=True).as_matrix() @ np.diag((1.0, 1.0, -1.0))
OBLIQUE = [
    *(Rotation.from_euler("xyz", d, degrees=True).as_matrix() for d in ((10, 0, 0), (-20, 15, 30), (120, -70, 200))),
    MIRRORED_OBLIQUE,
]


def read_lps(path: Path, frame: str) -> trimesh.Trimesh:
    """By trimesh alone, back in LPS millimetres by what the formats' documents say."""
    mesh = trimesh.load_scene(path).to_mesh()
    if path.suffix == ".glb":  # metres; x left, y superior, z anterior, whatever the frame
        x, y, z = mesh.vertices.T * 1000.0
        mesh.vertices = np.stack([x, -z, y], axis=1)
    elif frame == "RAS":
        mesh.vertices = mesh.vertices * (-1, -1, 1)
    return mesh


def nifti_affine(grid) -> np.ndarray:
    """Voxel (x, y, z) to RAS, as nibabel has it, from spacing, direction and origin."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(grid.direction_xyz).reshape(3, 3) * grid.spacing_mm_zyx[::-1]
    affine[:3, 3] = grid.origin_mm_xyz
    return np.diag((-1.0, -1.0, 1.0, 1.0)) @ affine


@pytest.mark.parametrize("direction", [*AXES, *OBLIQUE])
def test_every_vertex_of_every_file_lies_on_the_surface_to_a_thousandth_of_a_millimetre(tmp_path, direction):
    grid = grid_of(direction)
    probability = probability_on(grid)
    mask = MaskVolume(femur_zyx=probability >= 0.5, grid=grid)
    made = femur_mesh(mask, MeshSettings(tolerance_mm=0), probability_zyx=probability).mesh
    image = nib.Nifti1Image(probability.transpose(2, 1, 0), nifti_affine(grid))
    for suffix, frame in product(SUFFIXES, ("LPS", "RAS")):
        path = tmp_path / f"solid-{frame}{suffix}"
        write_mesh(path, made, frame)
        read = read_lps(path, frame)
        assert read.is_watertight
        assert read.is_winding_consistent
        assert read.volume == pytest.approx(made.volume_mm3, rel=1e-5)  # below 0 if inside out
        ras = read.vertices * (-1, -1, 1)
        voxels = nib.affines.apply_affine(np.linalg.inv(image.affine), ras)
        level = ndimage.map_coordinates(image.get_fdata(), voxels.T, order=1)  # linear along the edges they lie on
        assert np.abs(level - 0.5).max() <= 1e-3 * SLOPE
        assert np.abs(signed_distance_mm(read.vertices)).mean() < 0.05  # so says the formula, as far as voxels go


def test_the_frame_stands_in_every_file(tmp_path):
    grid = grid_of(np.eye(3))
    mask = MaskVolume(femur_zyx=probability_on(grid) >= 0.5, grid=grid)
    made = femur_mesh(mask, MeshSettings()).mesh
    for suffix, frame in product(SUFFIXES, ("LPS", "RAS")):
        path = tmp_path / f"{frame}{suffix}"
        write_mesh(path, made, frame)
        content = path.read_bytes()
        if suffix == ".stl":
            assert not content.startswith(b"solid")  # which some readers take for text
            content = content[:80]
        if suffix == ".3mf":
            scene = trimesh.load_scene(path)
            assert scene.units == "millimeter"
            content = zipfile.ZipFile(path).read("3D/3dmodel.model")
        assert f"femseg: {frame} (".encode() in content
        assert b"millimetres" in content


def test_the_same_mesh_gives_the_same_bytes(tmp_path):
    grid = grid_of(np.eye(3))
    made = femur_mesh(MaskVolume(femur_zyx=probability_on(grid) >= 0.5, grid=grid), MeshSettings()).mesh
    for suffix in SUFFIXES:
        for name in ("a", "b"):
            write_mesh(tmp_path / f"{name}{suffix}", made)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
