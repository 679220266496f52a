import numpy as np
import pytest

from femseg.phantom.shapes import Points, along, ball, carved, coverage, ellipsoid, joined, paint, rod, tube

AXIS = np.arange(-20.0, 20.5, 0.5, dtype=np.float32)
CUBE = Points(lateral_mm=AXIS[None, None, :], posterior_mm=AXIS[None, :, None], superior_mm=AXIS[:, None, None])
VOXEL_MM3 = 0.125


def at(x, y, z):
    return Points(
        lateral_mm=np.full((1, 1, 1), x), posterior_mm=np.full((1, 1, 1), y), superior_mm=np.full((1, 1, 1), z)
    )


def test_distances_are_zero_on_the_surface_negative_inside_and_true_outside():
    assert ball(at(9.0, 0.0, 0.0), (0.0, 0.0, 0.0), 5.0).item() == pytest.approx(4.0)
    assert rod(at(3.0, 0.0, 4.0), (0.0, 0.0, 0.0), (0.0, 0.0, 8.0), 1.0, 2.0).item() == pytest.approx(1.5)
    assert ellipsoid(at(0.0, 6.0, 0.0), (0.0, 0.0, 0.0), (3.0, 6.0, 9.0)).item() == pytest.approx(0.0, abs=1e-6)
    assert ellipsoid(at(0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (3.0, 6.0, 9.0)).item() <= 0.0


def test_an_ellipsoid_fills_the_volume_that_geometry_says():
    inside = ellipsoid(CUBE, (1.0, -2.0, 3.0), (6.0, 9.0, 12.0)) < 0
    assert np.count_nonzero(inside) * VOXEL_MM3 == pytest.approx(4.0 / 3.0 * np.pi * 6.0 * 9.0 * 12.0, rel=0.01)


def test_partial_volume_keeps_the_volume_of_a_tube():
    zero = np.zeros_like(CUBE.superior_mm)
    share = coverage(tube(CUBE, (zero, zero + 1.3), (zero + 7.2, zero + 11.1)), 1.0)
    assert share.mean(axis=0).sum() * 0.25 == pytest.approx(np.pi * 7.2 * 11.1, rel=0.01)


def test_joining_holds_both_shapes_and_carving_takes_the_hollow_away():
    a, b = ball(CUBE, (-4.0, 0.0, 0.0), 6.0), ball(CUBE, (4.0, 0.0, 0.0), 6.0)
    assert np.all(joined(a, b, 3.0) <= np.minimum(a, b) + 1e-4)
    assert np.all(carved(a, b, 3.0) >= np.maximum(a, -b) - 1e-4)


def test_a_quantity_along_the_body_passes_its_knots_and_stays_between_them():
    height = np.arange(-10.0, 31.0, dtype=np.float32)[:, None, None]
    values = along(height, (0.0, 1.0), (10.0, 5.0), (20.0, 2.0)).ravel()
    assert values.dtype == np.float32
    assert (values[0], values[10], values[20], values[30], values[40]) == (1.0, 1.0, 5.0, 2.0, 2.0)
    assert values.min() >= 1.0
    assert values.max() <= 5.0


def test_painting_mixes_by_share():
    hu = np.full((1, 1, 3), -100.0, np.float32)
    paint(hu, np.array([[[0.0, 0.5, 1.0]]], np.float32), 300.0)
    assert hu.ravel().tolist() == [-100.0, 100.0, 300.0]
