import numpy as np
import pytest
from scipy import ndimage

from femseg.phantom.texture import enlarged


@pytest.mark.parametrize("shape_zyx", [(28, 33, 20), (7, 10, 5), (9, 40, 5)])
def test_enlarging_a_field_equals_scipys_linear_zoom_of_grid_cells(shape_zyx):
    coarse = np.random.default_rng(0).normal(size=(7, 9, 5)).astype(np.float32)
    zoom = [fine / rough for fine, rough in zip(shape_zyx, coarse.shape, strict=True)]
    expected = ndimage.zoom(coarse, zoom, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(enlarged(coarse, shape_zyx), expected, atol=1e-5)


def test_enlarging_a_single_cell_repeats_it():
    assert np.array_equal(enlarged(np.full((1, 1, 1), 3.0, np.float32), (2, 3, 4)), np.full((2, 3, 4), 3.0))
