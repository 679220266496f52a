"""How sure a surface is, and whether it lies on an edge, where both are known."""

import numpy as np
import pytest

from femseg.inference.surface import off_edge_share, surface_entropy_bits
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid

GRID = VoxelGrid(shape_zyx=(40, 40, 40), spacing_mm_zyx=(2.0, 2.0, 2.0))
CUBE = (slice(10, 30),) * 3


def cube(inside: float, outside: float) -> np.ndarray:
    values = np.full(GRID.shape_zyx, outside, np.float32)
    values[CUBE] = inside
    return values


def mask(femur_zyx: np.ndarray) -> MaskVolume:
    return MaskVolume(femur_zyx=femur_zyx, grid=GRID)


def ct(hu_zyx: np.ndarray) -> CtVolume:
    noise = np.random.default_rng(0).normal(0.0, 20.0, GRID.shape_zyx)
    return CtVolume(hu_zyx=(hu_zyx + noise).astype(np.float32), grid=GRID)


@pytest.mark.parametrize(("inside", "outside", "bits"), [(1.0, 0.0, 0.0), (0.5, 0.499, 1.0), (0.89, 0.11, 0.5)])
def test_a_sure_surface_has_no_entropy_and_an_unsure_one_a_bit(inside, outside, bits):
    assert surface_entropy_bits(cube(inside, outside)) == pytest.approx(bits, abs=1e-3)


def test_what_is_far_from_the_surface_does_not_count():
    probability = cube(1.0, 0.0)
    probability[15:25, 15:25, 15:25] = 0.6
    probability[:4] = 0.4
    assert surface_entropy_bits(probability) == pytest.approx(0.0, abs=1e-3)


def test_a_surface_on_an_edge_is_told_from_one_in_the_midst_of_tissue():
    femur = cube(1.0, 0.0) > 0
    assert off_edge_share(ct(cube(800.0, 40.0)), mask(femur)) == 0.0
    assert off_edge_share(ct(cube(40.0, 40.0)), mask(femur)) == 1.0


def test_a_mask_that_runs_over_one_face_is_off_the_edge_there_alone():
    femur = cube(1.0, 0.0) > 0
    femur[30:38, 10:30, 10:30] = True
    assert 0.2 < off_edge_share(ct(cube(800.0, 40.0)), mask(femur)) < 0.5


def test_the_end_of_the_scan_is_no_surface():
    femur = np.zeros(GRID.shape_zyx, np.bool_)
    femur[:, 10:30, 10:30] = True
    hu = np.where(femur, 800.0, 40.0)
    assert off_edge_share(ct(hu), mask(femur)) == 0.0


def test_where_there_is_no_surface_nothing_is_sure_or_on_an_edge():
    assert surface_entropy_bits(cube(0.4, 0.0)) == 1.0
    assert off_edge_share(ct(cube(40.0, 40.0)), mask(np.zeros(GRID.shape_zyx, np.bool_))) == 1.0
