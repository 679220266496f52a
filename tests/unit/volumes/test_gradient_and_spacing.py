"""The gradient is per millimetre, and cannot be had without a spacing."""

import inspect

import numpy as np
import pytest

from femseg.volumes.gradient import gradient_magnitude, gradient_magnitude_where
from femseg.volumes.grid import VoxelGrid


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ten_hu_per_voxel_of_two_millimetres_are_five_per_millimetre_PP_01(axis):
    ct_hu_zyx = np.moveaxis(np.broadcast_to(np.arange(9, dtype=np.float32) * 10, (9, 9, 9)), 2, axis)
    spacing = tuple(2.0 if k == axis else 7.0 for k in range(3))
    gradient = gradient_magnitude(ct_hu_zyx, VoxelGrid(shape_zyx=(9, 9, 9), spacing_mm_zyx=spacing))
    np.testing.assert_allclose(gradient[1:-1, 1:-1, 1:-1], 5.0)


def test_an_array_that_lost_its_spacing_has_no_gradient_PP_01():
    for function in (gradient_magnitude, gradient_magnitude_where):
        parameter = inspect.signature(function).parameters["grid"]
        assert parameter.annotation is VoxelGrid
        assert parameter.default is inspect.Parameter.empty
    with pytest.raises(TypeError, match="spacing_mm_zyx"):
        VoxelGrid(shape_zyx=(9, 9, 9))
