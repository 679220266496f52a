"""Of whatever smooth solid: closed, 2-manifold, outward, true to its volume, and few triangles within the tolerance."""

import numpy as np
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from femseg.errors import Refusal
from femseg.meshes.femur import MeshSettings, femur_mesh
from femseg.meshes.solid import flaws
from femseg.meshes.surface import mask_surface, smoothed
from femseg.volumes.grid import MaskVolume, VoxelGrid


@st.composite
def smooth_masks(draw) -> MaskVolume:
    """Balls of 8 to 14 mm that touch, on any grid, also a mirrored or oblique one; perhaps cut off by its end."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spacing = tuple(float(s) for s in rng.uniform(0.9, 2.5, 3))
    direction = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    direction = direction * rng.choice([-1.0, 1.0])
    shape = tuple(int(46 / s) for s in spacing)
    grid = VoxelGrid(
        shape_zyx=shape,
        spacing_mm_zyx=spacing,
        origin_mm_xyz=tuple(rng.uniform(-500, 500, 3).tolist()),
        direction_xyz=tuple(direction.ravel().tolist()),
    )
    at = np.moveaxis(np.indices(shape), 0, -1) * spacing
    middle, inside = np.array([23.0, 23.0, 23.0]), np.zeros(shape, bool)
    for _ in range(draw(st.integers(1, 3))):
        inside |= np.linalg.norm(at - middle, axis=-1) < rng.uniform(8, 14)
        middle = middle + rng.uniform(-9, 9, 3)
    return MaskVolume(femur_zyx=inside, grid=grid)


unhurried = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(smooth_masks())
def test_the_solid_of_a_smooth_mask_is_closed_outward_and_keeps_its_volume(mask):
    made = femur_mesh(mask, MeshSettings())
    assert flaws(made.mesh) == ()
    theirs = trimesh.Trimesh(made.mesh.vertices_mm_xyz, made.mesh.triangles, process=False)
    assert theirs.is_watertight
    assert theirs.is_winding_consistent
    voxels_mm3 = mask.femur_zyx.sum() * mask.grid.voxel_volume_mm3
    assert abs(theirs.volume / voxels_mm3 - 1) < 0.005
    assert made.decimation_mm <= 0.15


@unhurried
@given(smooth_masks())
def test_taubins_smoothing_keeps_the_volume_where_plain_averaging_does_not(mask):
    """Of a solid of a few millilitres with edges to a hundredth or two; `femur_mesh` refuses what changes it more."""
    rough = mask_surface(mask, 0.4)
    assert abs(smoothed(rough, 20).volume_mm3 / rough.volume_mm3 - 1) < 0.02
    averaged = trimesh.Trimesh(rough.vertices_mm_xyz, rough.triangles, process=False)
    trimesh.smoothing.filter_laplacian(averaged, lamb=0.5, iterations=20, volume_constraint=False)
    assert averaged.volume / rough.volume_mm3 - 1 < -0.05


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.7), st.floats(0.3, 1.0))
def test_of_noise_too_whatever_is_given_back_is_a_solid(seed, density, softened_mm):
    noise = np.random.default_rng(seed).random((9, 9, 9)) < density
    mask = MaskVolume(femur_zyx=noise, grid=VoxelGrid(shape_zyx=noise.shape, spacing_mm_zyx=(1.0, 1.0, 1.0)))
    try:
        made = femur_mesh(mask, MeshSettings(softened_mm=softened_mm)).mesh
    except Refusal as refusal:
        found = {fault.id for fault in refusal.faults}
    else:
        found = set(flaws(made))
        assert trimesh.Trimesh(made.vertices_mm_xyz, made.triangles, process=False).is_watertight
    assert found <= {"MS-01"}
