"""What a mesh encloses, against shapes whose inside a formula tells, and where it ends flat."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from femseg.meshes.filled import filled, without_cavities
from femseg.meshes.flat_ends import flat_ends
from femseg.meshes.mesh import TriangleMesh
from femseg.meshes.printing import cut
from femseg.meshes.surface import mask_surface
from femseg.volumes.grid import MaskVolume, VoxelGrid

TURN = Rotation.from_euler("xyz", (31.0, 47.0, 13.0), degrees=True)
AT = np.array([-143.0, 61.0, -800.0])


def turned(corners_mm: np.ndarray) -> np.ndarray:
    return TURN.apply(corners_mm.reshape(-1, 3)).reshape(-1, 3, 3) + AT


def corners(mesh: trimesh.Trimesh) -> np.ndarray:
    return turned(np.array(mesh.triangles))


def own(mask) -> tuple[np.ndarray, np.ndarray]:
    """Each voxel's centre in the mesh's own coordinates, and whether it is filled."""
    places = mask.grid.positions_mm_xyz(np.argwhere(np.ones(mask.grid.shape_zyx, bool)))
    return TURN.inv().apply(places - AT), mask.femur_zyx.ravel()


def test_a_box_is_filled_where_a_formula_says():
    places, inside = own(filled(corners(trimesh.creation.box((30.0, 12.0, 50.0))), 0.8))
    assert np.array_equal(inside, np.all(np.abs(places) < (15.0, 6.0, 25.0), axis=1))


@pytest.mark.parametrize("edge_mm", [8.0, 16.0, 17.6])
def test_edges_and_diagonals_that_lie_on_columns_of_voxels_are_crossed_once(edge_mm):
    """As surfaces of masks have them, whose corners lie halfway between voxels."""
    box = np.array(trimesh.creation.box((edge_mm, 2 * edge_mm, edge_mm)).triangles)
    for moved in (0.0, 0.4, 0.8):
        mask = filled(box + moved, 0.8)
        places = mask.grid.positions_mm_xyz(np.argwhere(mask.femur_zyx)) - moved
        assert np.all(np.abs(places) < (edge_mm / 2 + 1e-6, edge_mm + 1e-6, edge_mm / 2 + 1e-6))
        assert mask.femur_zyx.sum() * 0.8**3 == pytest.approx(2 * edge_mm**3, rel=0.25)


def test_the_staircase_of_voxels_is_a_solid_too():
    ball = sum(axis**2 for axis in np.ogrid[-20:21, -20:21, -20:21]) < 15.0**2
    grid = VoxelGrid(shape_zyx=ball.shape, spacing_mm_zyx=(0.8, 0.8, 0.8))
    surface = mask_surface(MaskVolume(femur_zyx=ball, grid=grid), softened_mm=0)
    assert filled(surface.corners_mm, 0.8).femur_zyx.sum() == pytest.approx(ball.sum(), rel=0.1)


def test_cavities_are_filled_and_told():
    one, hole = (trimesh.creation.box((20.0, 20.0, 20.0)) for _ in range(2))
    hole.apply_scale(0.5)
    hole.invert()
    hollow = filled(np.concatenate([corners(one), corners(hole)]), 0.8)
    full, ml = without_cavities(hollow)
    assert np.array_equal(full.femur_zyx, filled(corners(one), 0.8).femur_zyx)
    assert ml == pytest.approx(1.0, rel=0.1)


def test_solids_may_overlap_be_hollow_or_inside_out():
    one, other, hole = (trimesh.creation.box((20.0, 20.0, 20.0)) for _ in range(3))
    other.apply_translation((10.0, 0.0, 0.0))
    hole.apply_scale(0.5)
    hole.invert()
    expected = {
        "overlap": ((one, other), lambda p: np.all(np.abs(p - (5.0, 0.0, 0.0)) < (15.0, 10.0, 10.0), axis=1)),
        "hollow": ((one, hole), lambda p: np.all(np.abs(p) < 10.0, axis=1) & ~np.all(np.abs(p) < 5.0, axis=1)),
    }
    for name, (parts, formula) in expected.items():
        triangles = np.concatenate([corners(part) for part in parts])
        for either in (triangles, triangles[:, ::-1]):
            places, inside = own(filled(either, 0.8))
            assert np.array_equal(inside, formula(places)), name


@pytest.mark.parametrize("spoil", ["open", "one triangle turned"])
def test_what_is_open_or_turned_both_ways_is_refused(spoil):
    triangles = corners(trimesh.creation.box((30.0, 30.0, 30.0)))
    spoilt = triangles[1:] if spoil == "open" else np.concatenate([triangles[:1, ::-1], triangles[1:]])
    with pytest.raises(ValueError, match="not closed"):
        filled(spoilt, 0.8)


def test_flat_ends_of_a_sawn_rod_are_found_and_a_ball_has_none():
    whole = trimesh.creation.capsule(height=120.0, radius=14.0)
    whole.apply_translation(-whole.centroid)
    sawn = TriangleMesh(vertices_mm_xyz=np.array(whole.vertices), triangles=np.array(whole.faces))
    slanted = np.array([0.1, 0.3, 1.0]) / np.linalg.norm([0.1, 0.3, 1.0])
    ends = [(np.array([0.0, 0.0, 40.0]), slanted), (np.array([0.0, 0.0, -50.0]), np.array([0.0, 0.0, -1.0]))]
    for point, out in ends:
        _, sawn = cut(sawn, tuple(point), tuple(out), name="rod")
    both = flat_ends(turned(sawn.corners_mm))
    assert [end.is_cut for end in both] == [True, True]
    found = TURN.inv().apply(np.concatenate([end.points_mm for end in both]) - AT)
    off = np.abs(np.stack([(found - point) @ out for point, out in ends], axis=1))
    assert np.all(off.min(axis=1) < 0.1)
    assert all((off[:, k] < 0.1).sum() > np.pi * 14.0**2 for k in range(2))  # a point on each mm² and more
    assert not flat_ends(corners(whole))
    assert not flat_ends(corners(trimesh.creation.icosphere(subdivisions=4, radius=24.0)))
