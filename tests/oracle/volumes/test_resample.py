import numpy as np
import pytest
import SimpleITK as sitk
import torch

from femseg.volumes.grid import VoxelGrid, voxels_where_crossing
from femseg.volumes.resample import axis_weights, resampled


def _resampled(array, shape, *, anti_aliasing):
    return resampled(lambda i: voxels_where_crossing(array, i), array.shape, shape, anti_aliasing=anti_aliasing)


@pytest.mark.parametrize("shape_out", [(9, 6, 5), (40, 13, 11), (70, 8, 16)])
def test_trilinear_resampling_matches_simpleitk_on_the_resized_grid(shape_out):
    shape_in = (40, 24, 20)
    ct = np.random.default_rng(0).normal(0, 400, shape_in).astype(np.float32)
    grid = VoxelGrid(shape_zyx=shape_in, spacing_mm_zyx=(1.5, 0.7, 0.9), origin_mm_xyz=(-3.0, 5.0, 7.0))
    fine = grid.resized(shape_out)
    image = grid.image(ct)
    onto = sitk.ResampleImageFilter()
    onto.SetReferenceImage(fine.image(np.zeros(shape_out, np.float32)))
    onto.SetInterpolator(sitk.sitkLinear)
    onto.SetUseNearestNeighborExtrapolator(True)
    theirs = sitk.GetArrayFromImage(onto.Execute(image))
    ours = _resampled(ct, shape_out, anti_aliasing=False)
    # beyond the outermost input centres ITK takes the nearest voxel, we repeat the edge along that axis only
    inner = tuple(slice(max(1, -(-n // m)), -max(1, -(-n // m))) for n, m in zip(shape_out, shape_in, strict=True))
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=0.02)


@pytest.mark.parametrize("n_out", [3, 7, 16, 31, 40, 64])
def test_anti_aliasing_matches_torch_along_an_axis(n_out):
    line = np.random.default_rng(n_out).normal(0, 1, 40)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(line)[None, None, None], size=(1, n_out), mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(axis_weights(40, n_out, anti_aliasing=True) @ line, theirs[0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("shape_out", [(5, 6, 7), (24, 30, 20)])
def test_without_anti_aliasing_the_whole_volume_matches_torch_with_its_clamped_rim(shape_out):
    ct = np.random.default_rng(2).normal(0, 400, (12, 15, 20)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(ct)[None, None].double(), size=shape_out, mode="trilinear", align_corners=False
    )
    np.testing.assert_allclose(_resampled(ct, shape_out, anti_aliasing=False), theirs[0, 0], rtol=1e-5, atol=1e-4)
