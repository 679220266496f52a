"""A mask is told to lie elsewhere when it does, and never when it does not (IN-21)."""

from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage

from femseg.cohorts.femur_side import box_of
from femseg.formats.itk import array_of
from femseg.intake.mask_checks import density_faults
from femseg.intake.placement import better_place, placement_findings
from femseg.phantom import PhantomSettings, PhantomStudy, phantom_study
from femseg.volumes.grid import CtVolume, VoxelGrid, to_lps


@pytest.fixture(scope="module")
def study() -> PhantomStudy:
    """The demo's first patient: voxels of 4.0 × 1.8 × 1.8 mm."""
    return phantom_study(PhantomSettings(seed=20240, spacing_mm_zyx=(4.0, 1.8, 1.8)), 1)


def findings(ct: CtVolume, mask_zyx: np.ndarray) -> tuple[list[str], list[str]]:
    """Problems and remarks."""
    box = box_of(mask_zyx)
    assert box is not None
    faults, remarks = placement_findings(better_place(ct.hu_zyx, mask_zyx, ct.grid, box), "mask")
    return [fault.problem for fault in faults], remarks


def rolled(mask_zyx: np.ndarray, *voxels: int) -> np.ndarray:
    return np.roll(mask_zyx, voxels, axis=(0, 1, 2))


def test_a_mask_that_lies_right_raises_neither_fault_nor_doubt(study):
    assert findings(study.ct, study.femur.femur_zyx) == ([], [])


@pytest.mark.parametrize("change", ["larger", "smaller", "smaller in plane", "coarse"])
def test_a_roughly_drawn_mask_in_the_right_place_raises_none_either(study, change):
    mask = study.femur.femur_zyx
    changed = {
        "larger": ndimage.binary_dilation(mask),
        "smaller": ndimage.binary_erosion(mask),
        "smaller in plane": ndimage.binary_erosion(mask, np.ones((1, 3, 3))),
        "coarse": np.repeat(mask[1::3], 3, axis=0)[: len(mask)],  # drawn on every third slice
    }[change]
    padded = np.zeros_like(mask)
    padded[: len(changed)] = changed
    assert findings(study.ct, padded) == ([], [])


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        ((0, 0, 2), "3.6 mm to the right"),
        ((0, 0, -2), "3.6 mm to the left"),
        ((0, 2, 0), "3.6 mm anterior"),
        ((0, -4, 0), "7.2 mm posterior"),
        ((0, 3, -3), "5.4 mm to the left, 5.4 mm anterior"),
        ((2, 2, 0), "3.6 mm anterior, 8.0 mm inferior"),
    ],
)
def test_a_shifted_mask_is_refused_with_way_and_millimetres_back(study, voxels, words):
    (problem,), remarks = findings(study.ct, rolled(study.femur.femur_zyx, *voxels))
    assert f"fits far better {words}: CT numbers fall by" in problem
    assert not remarks


@pytest.mark.parametrize(("slices", "words"), [(1, "4.0 mm inferior"), (-1, "4.0 mm superior"), (2, "8.0 mm inferior")])
def test_a_mask_shifted_along_the_shaft_is_a_doubt_told_by_the_bones_ends(study, slices, words):
    problems, (remark,) = findings(study.ct, rolled(study.femur.femur_zyx, slices, 0, 0))
    assert not problems
    assert remark.startswith(f"IN-21: the mask may be misplaced: it fits better {words} (CT numbers fall by")


@pytest.mark.parametrize("axes", [c for n in (1, 2, 3) for c in combinations(range(3), n)], ids=str)
def test_a_mirrored_mask_is_refused(study, axes):
    mirrored = np.flip(study.femur.femur_zyx, axes)
    nowhere_near_bone = density_faults(study.ct.hu_zyx, mirrored, study.ct.grid, "mask")
    assert nowhere_near_bone or findings(study.ct, mirrored)[0]


def test_the_way_is_told_in_the_patients_directions_however_the_array_runs(study):
    turned = study.ct.grid.image(study.ct.hu_zyx)[::-1, :, ::-1]
    mask = study.femur.femur_zyx[::-1, :, ::-1]
    ct = CtVolume(hu_zyx=array_of(turned), grid=VoxelGrid.of_image(turned))
    (problem,), _ = findings(ct, rolled(mask, 0, 0, 2))  # two voxels along an axis that runs to the patient's right
    assert "3.6 mm to the left" in problem
    np.testing.assert_array_equal(to_lps(ct.hu_zyx, ct.grid)[0], study.ct.hu_zyx)
