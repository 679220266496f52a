"""A mesh as a picture: what is left is right, what is near hides what is far, and colours say how far off."""

import numpy as np
import pytest

from femseg.meshes.mesh import TriangleMesh
from femseg.reports.case.rendering import deviation_colours, rendered, top_mm

RED, BLUE = (255, 0, 0), (0, 0, 255)


def ball(centre, radius, colour):
    """A tetrahedron, cut finer five times and blown up to a ball."""
    corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)], float)
    triangles = corners[[(0, 1, 2), (0, 3, 1), (0, 2, 3), (1, 3, 2)]]
    for _ in range(5):
        a, b, c = np.moveaxis(triangles, 1, 0)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        triangles = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    points = triangles.reshape(-1, 3)
    points = np.asarray(centre) + radius * points / np.linalg.norm(points, axis=1, keepdims=True)
    mesh = TriangleMesh(vertices_mm_xyz=points, triangles=np.arange(len(points)).reshape(-1, 3))
    return mesh, np.tile(np.array([colour], np.uint8), (len(points), 1))


def middle_of(picture, channel):
    """Row and column of what is mostly of one colour."""
    own = (picture[..., channel] > 60) & (picture[..., 2 - channel] < 60) & (picture[..., 3] > 200)
    return np.argwhere(own).mean(axis=0) / own.shape


@pytest.mark.parametrize(
    ("view", "red_column", "blue_column"), [("from the front", "right", "left"), ("from the back", "left", "right")]
)
def test_the_patients_left_is_on_the_right_from_the_front_and_the_head_is_up(view, red_column, blue_column):
    meshes = [ball((40.0, 0.0, 30.0), 10.0, RED), ball((-40.0, 0.0, -30.0), 10.0, BLUE)]  # left and up; right and down
    picture = rendered(meshes, view, pixel_mm=1.0)
    red, blue = middle_of(picture, 0), middle_of(picture, 2)
    assert red[0] < 0.5 < blue[0]
    assert (red[1] > 0.5) == (red_column == "right")
    assert (blue[1] > 0.5) == (blue_column == "right")


@pytest.mark.parametrize(("view", "seen"), [("from the front", 0), ("from the back", 2)])
def test_what_is_near_hides_what_is_far(view, seen):
    front, back = ball((0.0, -40.0, 0.0), 12.0, RED), ball((0.0, 40.0, 0.0), 12.0, BLUE)
    for meshes in ((front, back), (back, front)):
        picture = rendered(meshes, view, pixel_mm=1.0)
        centre = picture[picture.shape[0] // 2, picture.shape[1] // 2]
        assert centre[seen] > 100
        assert centre[2 - seen] == 0


def test_a_ball_covers_its_circle_and_nothing_else():
    picture = rendered([ball((0.0, 0.0, 0.0), 20.0, RED)], "from the left", pixel_mm=0.5)
    covered_mm2 = picture[..., 3].astype(float).sum() / 255.0 * 0.25
    assert covered_mm2 == pytest.approx(np.pi * 20.0**2, rel=0.02)


def test_a_greater_deviation_is_never_brighter():
    colours = deviation_colours(np.linspace(0.0, 1.0, 101), top=0.5).astype(int)
    luminance = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(luminance) <= 0.5)
    assert np.all(colours[50:] == colours[50])


def test_the_legend_ends_at_a_round_number_that_nearly_all_keep_to():
    assert top_mm([np.full(100, 0.2)]) == 0.5
    assert top_mm([np.full(100, 0.2), np.full(100, 0.7)]) == 1.0
    assert top_mm([np.full(100, 80.0)]) == 5.0
