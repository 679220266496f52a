from dataclasses import replace

import numpy as np
import pytest

from femseg.phantom.acquisition import Acquisition
from femseg.phantom.anatomy import Anatomy
from femseg.phantom.scanner import beam_hardening, scanned
from femseg.phantom.texture import Texture
from femseg.volumes.grid import VoxelGrid

GRID = VoxelGrid(shape_zyx=(6, 64, 64), spacing_mm_zyx=(3.0, 2.0, 2.0))
SCAN = Acquisition(grid=GRID, lost_end=None, nail=False, table_mm=100.0, blur=1.0, noise=1.0, shading=0.0)
AIR = Anatomy(
    hu_zyx=np.full(GRID.shape_zyx, -500.0, np.float32),
    femur_zyx=np.zeros(GRID.shape_zyx, bool),
    body_zyx=np.zeros(GRID.shape_zyx, bool),
)


def test_noise_has_the_asked_deviation_and_neighbouring_pixels_share_it():
    hu = scanned(AIR, SCAN, 20.0, np.random.default_rng(0)).astype(np.float64) + 500.0
    assert hu.std() == pytest.approx(20.0, rel=0.05)
    correlation = np.corrcoef(hu[:, :, 1:].ravel(), hu[:, :, :-1].ravel())[0, 1]
    assert correlation == pytest.approx(2.0 / 3.0, abs=0.06)  # of the binomial kernel 1 2 1: (2 + 2) / 6
    between_slices = np.corrcoef(hu[1:].ravel(), hu[:-1].ravel())[0, 1]
    assert abs(between_slices) < 0.05


def test_blur_spreads_an_edge_and_keeps_its_mean():
    hu = AIR.hu_zyx.copy()
    hu[:, :, 32:] = 500.0
    edge = scanned(replace(AIR, hu_zyx=hu), SCAN, 0.0, np.random.default_rng(0))
    assert edge.mean() == pytest.approx(0.0, abs=1.0)
    assert -500.0 < edge[3, 32, 31] < edge[3, 32, 32] < 500.0
    assert edge[3, 32, 10] == -500.0


def test_beam_hardening_darkens_soft_tissue_near_dense_bone_and_leaves_the_air_alone():
    y, x = np.indices((64, 64)) - 32
    distance_mm = 2.0 * np.sqrt(x * x + y * y)
    body = np.broadcast_to(distance_mm < 55.0, GRID.shape_zyx)
    hu = np.where(np.broadcast_to(distance_mm < 14.0, GRID.shape_zyx), 1400.0, np.where(body, 50.0, -1000.0))
    shading = beam_hardening(hu.astype(np.float32), body, GRID)
    assert np.all(shading[~body] == 0.0)
    assert shading[3, 32, 32 + 9] < shading[3, 32, 32 + 25] - 5.0


def test_texture_has_mean_0_and_deviation_near_1():
    grid = VoxelGrid(shape_zyx=(60, 60, 60), spacing_mm_zyx=(4.0, 4.0, 4.0))
    texture = Texture.drawn(np.random.default_rng(1), grid)
    assert texture.grain.std() == pytest.approx(1.0, abs=0.1)
    for wave in texture.waves:
        assert wave.shape == grid.shape_zyx
        assert 0.5 < wave.std() < 1.5
