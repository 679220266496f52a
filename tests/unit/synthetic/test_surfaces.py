"""From a closed surface to voxels, against spheres, whose distance is known."""

import numpy as np
import pytest

from femseg.synthetic.anatomy.axes import Axes, carried
from femseg.synthetic.anatomy.shapes import Block, Bowl, Ellipsoid, RoundCone, union_mm
from femseg.synthetic.anatomy.surfaces import SignedDistance, Surface, distance_to_triangles_mm, inside_any


def sphere(centre: tuple[float, float, float], radius_mm: float, rings: int = 60) -> Surface:
    """A globe of meridians and parallels, closed at both poles."""
    heights, turns = np.meshgrid(
        np.linspace(0, np.pi, rings + 1)[1:-1], np.arange(2 * rings) * np.pi / rings, indexing="ij"
    )
    points = np.stack([np.sin(heights) * np.cos(turns), np.sin(heights) * np.sin(turns), np.cos(heights)], axis=-1)
    points = np.concatenate([points.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    wide = 2 * rings
    faces = []
    for turn in range(wide):
        after = (turn + 1) % wide
        for ring in range(rings - 2):
            a, b, c, d = ring * wide + turn, ring * wide + after, (ring + 1) * wide + turn, (ring + 1) * wide + after
            faces += [(a, c, b), (b, c, d)]
        faces += [
            (len(points) - 2, turn, after),
            (len(points) - 1, (rings - 2) * wide + after, (rings - 2) * wide + turn),
        ]
    return Surface(np.array(centre) + radius_mm * points, np.array(faces))


def distances(surfaces: list[Surface], step_mm: float) -> tuple[np.ndarray, np.ndarray, Axes]:
    low, high = np.full(3, -45.0), np.full(3, 45.0)
    axes = Axes.lattice((low, high), step_mm)
    within = inside_any(surfaces, axes)
    return SignedDistance(surfaces, Axes.lattice((low - 4, high + 4), 4.0)).at(axes, within), within, axes


@pytest.mark.parametrize("step_mm", [1.5, 4.0])
def test_distances_about_a_sphere_are_right(step_mm):
    centre, radius = np.array([1.3, -2.1, 0.7]), 21.0
    signed, within, axes = distances([sphere(tuple(centre), radius)], step_mm)
    x, y, z = axes.open()
    truth = radius - np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    near = np.abs(truth) < 4.0
    assert np.abs(signed - truth)[near].max() < 0.1
    further = np.abs(signed - truth)[np.abs(truth) < 14]
    assert further.max() < 1.6
    assert further.mean() < 0.3
    sure = np.abs(truth) > 0.05  # the globe's facets lie up to 0.04 mm within the sphere
    np.testing.assert_array_equal(within[sure], truth[sure] > 0)
    np.testing.assert_array_equal(signed > 0, within)


def test_what_lies_in_two_surfaces_is_inside_and_what_lies_between_them_is_not():
    left, right = sphere((-8.0, 0.0, 0.0), 12.0), sphere((8.0, 0.0, 0.0), 12.0)
    axes = Axes.lattice((np.full(3, -24.0), np.full(3, 24.0)), 1.0)
    within = inside_any([left, right], axes)
    np.testing.assert_array_equal(within, inside_any([left], axes) | inside_any([right], axes))
    assert within[24, 24, 24]
    apart = inside_any([sphere((-14.0, 0.0, 0.0), 9.0), sphere((14.0, 0.0, 0.0), 9.0)], axes)
    assert not apart[24, 24, 24]


def test_a_surface_cut_by_the_grids_end_is_inside_up_to_there():
    axes = Axes.lattice((np.array([0.0, -30.0, -30.0]), np.array([30.0, 30.0, 30.0])), 2.0)
    within = inside_any([sphere((0.0, 0.0, 0.0), 20.3)], axes)
    assert within[15, 15, 0]
    assert within.sum() * 8 == pytest.approx(2 / 3 * np.pi * 20.3**3 + np.pi * 20.3**2, rel=0.05)


def test_a_point_is_as_far_from_a_triangle_as_from_its_nearest_point():
    rng = np.random.default_rng(3)
    triangles, points = rng.normal(0, 5, (40, 3, 3)), rng.normal(0, 8, (40, 3))
    weights = rng.dirichlet(np.ones(3), 4000)
    along = np.linspace(0, 1, 600)
    edge = np.column_stack([along, 1 - along, 0 * along])
    corners = np.concatenate([weights, *(np.roll(edge, k, axis=1) for k in range(3))])
    brute = np.linalg.norm(np.einsum("kc,ncx->nkx", corners, triangles) - points[:, None], axis=2).min(axis=1)
    ours = distance_to_triangles_mm(points, triangles)
    assert np.all(ours <= brute + 1e-9)
    np.testing.assert_allclose(ours, brute, atol=0.25)


def test_a_field_that_is_linear_is_carried_onto_another_grid_exactly():
    lattice = Axes.lattice((np.full(3, -20.0), np.full(3, 20.0)), 5.0)
    axes = Axes(np.linspace(-19, 18, 31), np.linspace(-12, 13, 7), np.linspace(-7, 16, 13))

    def plane(a: Axes) -> np.ndarray:
        x, y, z = a.open()
        return 0.3 * x - 1.2 * y + 2 * z + 4

    np.testing.assert_allclose(carried(plane(lattice), lattice, axes), plane(axes), atol=1e-4)


FRAME = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]


@pytest.mark.parametrize(
    ("shape", "volume_mm3"),
    [
        (RoundCone(np.array([-9.0, 0, 0]), np.array([9.0, 3, 2]), 6.0, 6.0), np.pi * 36 * 18.36 + 4 / 3 * np.pi * 216),
        (Ellipsoid(np.array([1.0, 2, 0]), (12.0, 7.0, 9.0), FRAME), 4 / 3 * np.pi * 12 * 7 * 9),
        (Block(np.zeros(3), (12.0, 4.0, 8.0), FRAME), 8 * 12 * 4 * 8),
        (Block(np.zeros(3), (12.0, 7.0, 8.0), FRAME, drum=True), np.pi * 12 * 7 * 16),
        (Bowl(np.zeros(3), 14.0, 9.0, np.array([0, 0.6, 0.8])), 2 / 3 * np.pi * (14**3 - 9**3)),
    ],
)
def test_a_solid_fills_its_volume_within_its_box(shape, volume_mm3):
    axes = Axes.lattice((np.full(3, -24.0), np.full(3, 24.0)), 0.8)
    signed = shape.signed_mm(*axes.open())
    assert (signed > 0).sum() * 0.8**3 == pytest.approx(volume_mm3, rel=0.03)
    outside = np.ones(axes.shape, bool)
    outside[axes.within(shape.box, 0.4)] = False
    assert np.all(signed[outside] <= 0)
    steps = np.stack(np.gradient(union_mm([shape], axes, margin_mm=60.0, outside_mm=-60.0), 0.8))
    assert np.percentile(np.linalg.norm(steps, axis=0)[np.abs(signed) < 1.5], 99) < 1.4
