"""What is no solid is told so, one kind of flaw at a time."""

import numpy as np
import pytest
import trimesh

from femseg.errors import Refusal
from femseg.meshes.femur import MeshSettings, femur_mesh
from femseg.meshes.mesh import TriangleMesh
from femseg.meshes.solid import flaws
from femseg.volumes.grid import MaskVolume, VoxelGrid


def box(edges=(10.0, 10.0, 10.0), at=(0.0, 0.0, 0.0)) -> TriangleMesh:
    made = trimesh.creation.box(edges)
    return TriangleMesh(vertices_mm_xyz=np.array(made.vertices) + at, triangles=np.array(made.faces, np.int64))


def together(*meshes: TriangleMesh) -> TriangleMesh:
    offsets = np.cumsum([0, *(len(mesh.vertices_mm_xyz) for mesh in meshes)])
    return TriangleMesh(
        vertices_mm_xyz=np.concatenate([mesh.vertices_mm_xyz for mesh in meshes]),
        triangles=np.concatenate([mesh.triangles + k for mesh, k in zip(meshes, offsets, strict=False)]),
    )


def merged(mesh: TriangleMesh) -> TriangleMesh:
    """Vertices at one place made one."""
    vertices, where = np.unique(mesh.vertices_mm_xyz, axis=0, return_inverse=True)
    return TriangleMesh(vertices_mm_xyz=vertices, triangles=where.ravel()[mesh.triangles])


def test_a_box_and_two_boxes_apart_are_solids():
    assert flaws(box()) == ()
    assert flaws(together(box(), box(at=(20.0, 0.0, 0.0)))) == ()
    assert box((2.0, 3.0, 4.0), at=(500.0, -300.0, 900.0)).volume_mm3 == pytest.approx(24.0)


def test_a_missing_triangle_leaves_it_open():
    whole = box()
    assert "not closed" in flaws(TriangleMesh(vertices_mm_xyz=whole.vertices_mm_xyz, triangles=whole.triangles[1:]))[0]


def test_a_turned_triangle_is_noticed():
    triangles = box().triangles.copy()
    triangles[3] = triangles[3, ::-1]
    assert "not closed" in flaws(TriangleMesh(vertices_mm_xyz=box().vertices_mm_xyz, triangles=triangles))[0]


def test_two_boxes_that_share_an_edge_are_no_manifold():
    assert "three triangles" in flaws(merged(together(box(), box(at=(10.0, 10.0, 0.0)))))[0]


def test_two_boxes_that_share_a_corner_meet_in_a_point():
    assert flaws(merged(together(box(), box(at=(10.0, 10.0, 10.0))))) == ("parts of it meet in a single point",)


def test_what_is_inside_out_is_told():
    assert flaws(TriangleMesh(vertices_mm_xyz=box().vertices_mm_xyz, triangles=box().triangles[:, ::-1])) == (
        "it is inside out",
    )


def test_boxes_through_one_another_are_found_however_their_sizes_differ():
    for edges in ((10.0, 10.0, 10.0), (0.5, 0.6, 40.0), (100.0, 3.0, 3.0)):
        (found,) = flaws(together(box(), box(edges, at=(1.3, 0.7, 2.1))))
        assert found.startswith("it goes through itself")


def test_a_vertex_pushed_out_of_the_other_side_crosses_or_turns_it():
    made = trimesh.creation.icosphere(subdivisions=3, radius=10.0)
    vertices = np.array(made.vertices)
    vertices[40] *= -1.4
    found = flaws(TriangleMesh(vertices_mm_xyz=vertices, triangles=np.array(made.faces, np.int64)))
    assert any("goes through itself" in flaw for flaw in found)


def test_a_flap_of_two_triangles_is_folded():
    vertices = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]])
    flap = TriangleMesh(vertices_mm_xyz=vertices, triangles=np.array([[0, 1, 2], [0, 2, 1]]))
    assert any("folded" in flaw for flaw in flaws(flap))


def femur(voxels_zyx) -> MaskVolume:
    grid = VoxelGrid(shape_zyx=voxels_zyx.shape, spacing_mm_zyx=(1.0, 1.0, 1.0))
    return MaskVolume(femur_zyx=voxels_zyx, grid=grid)


def test_a_mask_too_thin_to_be_softened_gives_no_solid_MS_01():
    voxels = np.zeros((20, 20, 20), bool)
    voxels[5:15, 10, 10] = True
    with pytest.raises(Refusal) as refused:
        femur_mesh(femur(voxels), MeshSettings(softened_mm=3.0), name="thin.nii.gz")
    (fault,) = refused.value.faults
    assert (fault.id, int(fault.exit_code), fault.file) == ("MS-01", 3, "thin.nii.gz")
    assert "nothing is left" in fault.problem


def test_smoothing_that_would_eat_a_small_mask_is_refused_MS_01():
    voxels = np.zeros((12, 12, 40), bool)
    voxels[5:7, 5:7, 3:37] = True
    with pytest.raises(Refusal, match=r"MS-01.*smoothing would change its volume"):
        femur_mesh(femur(voxels), MeshSettings(softened_mm=0.3, smoothing=100))


def test_an_empty_mask_is_refused_IN_22():
    with pytest.raises(Refusal, match="IN-22"):
        femur_mesh(femur(np.zeros((5, 5, 5), bool)), MeshSettings())
