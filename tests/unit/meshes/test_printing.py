"""What a printer is told: size, thin places, two parts."""

import numpy as np
import pytest
import trimesh

from femseg.errors import Refusal
from femseg.meshes.mesh import TriangleMesh
from femseg.meshes.printing import cut, fits, least_box_mm, thinner_than
from femseg.meshes.solid import flaws


def solid(made: trimesh.Trimesh) -> TriangleMesh:
    return TriangleMesh(vertices_mm_xyz=np.array(made.vertices), triangles=np.array(made.faces, np.int64))


def bar_turned() -> TriangleMesh:
    turn = trimesh.transformations.euler_matrix(0.4, -0.7, 1.1)
    return solid(trimesh.creation.box((300.0, 40.0, 20.0), transform=turn).subdivide().subdivide())


def test_a_turned_bar_has_the_box_that_it_was_made_of():
    np.testing.assert_allclose(least_box_mm(bar_turned()), (300.0, 40.0, 20.0), atol=1e-6)


def test_it_fits_where_every_edge_finds_room():
    assert fits(bar_turned(), (50.0, 310.0, 25.0))
    assert not fits(bar_turned(), (250.0, 250.0, 250.0))
    assert not fits(bar_turned(), (310.0, 45.0, 19.0))


def test_a_plate_is_thin_and_a_cube_is_not():
    share, least = thinner_than(solid(trimesh.creation.box((50.0, 50.0, 2.0))), 3.0)
    assert least == pytest.approx(2.0, abs=0.01)
    assert 0.85 < share < 1.0  # all but its rim
    assert thinner_than(solid(trimesh.creation.box((50.0, 50.0, 50.0))), 3.0) == (0.0, None)


def test_a_cut_gives_two_solids_of_the_whole_volume_on_either_side_of_the_plane():
    made = solid(trimesh.creation.icosphere(subdivisions=4, radius=20.0))
    point, normal = (3.0, -2.0, 4.0), np.array([0.3, -0.5, 1.0])
    above, below = cut(made, point, tuple(normal), name="ball")
    assert above.volume_mm3 + below.volume_mm3 == pytest.approx(made.volume_mm3, rel=1e-5)
    for part, sign in ((above, 1), (below, -1)):
        assert flaws(part) == ()
        assert (sign * (part.vertices_mm_xyz - point) @ normal).min() > -1e-4
    height = 20.0 - float(np.dot(point, normal) / np.linalg.norm(normal))
    assert above.volume_mm3 == pytest.approx(np.pi * height**2 * (60.0 - height) / 3, rel=0.01)


def test_a_plane_beside_it_is_refused_with_how_far():
    with pytest.raises(Refusal, match=r"CFG-01.*beside the plane, 30.0 mm away"):
        cut(solid(trimesh.creation.box((10.0, 10.0, 10.0))), (0.0, 0.0, 35.0), (0.0, 0.0, 1.0), name="box")
