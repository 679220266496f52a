"""Distances to triangles against trimesh, which compares every point with every triangle; its Taubin smoothing, too."""

import numpy as np
import trimesh
from asymmetric_solid import grid_of, probability_on

from femseg.meshes.deviation import deviation
from femseg.meshes.femur import MeshSettings, femur_mesh
from femseg.meshes.nearest import distances_to_triangles, pieces
from femseg.meshes.surface import mask_surface, smoothed
from femseg.volumes.grid import MaskVolume


def by_trimesh(points, corners):
    mesh = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(len(corners) * 3).reshape(-1, 3), process=False)
    return trimesh.proximity.closest_point_naive(mesh, points)[1]


def test_distances_to_triangles_of_every_size_are_trimeshs():
    rng = np.random.default_rng(5)
    centres, sizes = rng.normal(0, 20, (200, 1, 3)), 10 ** rng.uniform(-2, 1.5, (200, 1, 1))
    corners = centres + sizes * rng.normal(0, 1, (200, 3, 3))
    corners[:5, 2] = corners[:5, 1]  # without area
    points = np.concatenate([rng.normal(0, 25, (500, 3)), corners[:, 0], corners[:, :2].mean(axis=1)])
    usable = corners[5:]  # trimesh does not take what has no area
    np.testing.assert_allclose(distances_to_triangles(points, usable), by_trimesh(points, usable), atol=1e-9)
    least = np.minimum(distances_to_triangles(points, corners[:5]), distances_to_triangles(points, usable))
    np.testing.assert_allclose(distances_to_triangles(points, corners), least, atol=1e-12)


def test_pieces_are_small_and_cover_what_they_are_of():
    corners = np.random.default_rng(1).normal(0, 10, (30, 3, 3))
    small, owner = pieces(corners, 2.0)
    assert np.linalg.norm(np.roll(small, -1, axis=1) - small, axis=2).max() <= 2.0

    def area(triangles):
        a, b, c = np.moveaxis(triangles, 1, 0)
        return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2

    np.testing.assert_allclose(np.bincount(owner, area(small)), area(corners))


def test_the_deviation_of_a_mesh_is_what_trimesh_measures():
    turn = np.array([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0], [0.0, 0.8, -0.6]])
    grid = grid_of(turn, (2.0, 1.0, 1.3))
    mask = MaskVolume(femur_zyx=probability_on(grid) >= 0.5, grid=grid)
    made = femur_mesh(mask, MeshSettings()).mesh
    found = deviation(made, mask)
    own = mask_surface(mask, 0)
    halfway = []  # by hand, voxel pair by voxel pair
    for axis in range(3):
        for index in np.argwhere(np.diff(mask.femur_zyx, axis=axis)):
            halfway.append(grid.position_mm_xyz(tuple(index + 0.5 * np.eye(3)[axis])))
    back = by_trimesh(np.array(halfway), made.corners_mm)
    there = by_trimesh(made.vertices_mm_xyz, own.corners_mm)
    np.testing.assert_allclose(found.to_mesh.mean_mm, back.mean(), atol=1e-6)
    np.testing.assert_allclose(found.to_mesh.p95_mm, np.percentile(back, 95), atol=1e-6)
    np.testing.assert_allclose(found.to_mesh.max_mm, back.max(), atol=1e-6)
    np.testing.assert_allclose(found.vertices_near, (there <= 0.25).mean(), atol=1e-9)
    assert found.to_mask.max_mm >= there.max() - 1e-9
    voxels = mask.femur_zyx.sum() * grid.voxel_volume_mm3
    np.testing.assert_allclose(found.volume_drift, trimesh.Trimesh(*_parts(made)).volume / voxels - 1, atol=1e-6)


def test_smoothing_is_trimeshs_taubin():
    grid = grid_of(np.eye(3))
    rough = mask_surface(MaskVolume(femur_zyx=probability_on(grid) >= 0.5, grid=grid), 0)
    theirs = trimesh.Trimesh(*_parts(rough), process=False)
    trimesh.smoothing.filter_taubin(theirs, lamb=0.5, nu=0.51, iterations=14)  # of theirs, two are one of ours
    np.testing.assert_allclose(smoothed(rough, 7).vertices_mm_xyz, theirs.vertices, atol=1e-9)


def _parts(mesh):
    return mesh.vertices_mm_xyz, mesh.triangles
