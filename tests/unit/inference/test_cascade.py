"""Two networks, one after the other: where the femora are, then their voxels."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from femseg.inference.cascade import femur_boxes, without_speckles
from femseg.inference.second_look import agreement, second_look
from femseg.inference.segment import segment
from femseg.inference.surface import surface_entropy_bits
from femseg.metrics.overlap import dice_coefficient
from femseg.networks.package_files import Architecture, ModelDescription, ScaleDescription, Windows
from femseg.volumes.grid import CtVolume, VoxelGrid
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe, channel, network_grid, network_input, sampled_mask

HU = Scaling(kind="window", low=-1000.0, high=1000.0)
GRID = VoxelGrid(shape_zyx=(60, 64, 100), spacing_mm_zyx=(1.5, 1.0, 1.0), origin_mm_xyz=(-50.0, 7.0, -300.0))
FINE = InputRecipe(input_mode="raw", spacing_mm_zyx=(1.5, 1.0, 1.0), raw_scaling=HU)


class BoneAbove(torch.nn.Module):
    """Femur where the input is above a level; counts the voxels that it is shown."""

    def __init__(self, level):
        super().__init__()
        self.level, self.steepness, self.shown = level, 40, 0

    def forward(self, x_bczyx):
        self.shown += x_bczyx[:, 0].numel()
        femur = self.steepness * (x_bczyx[:, 0] - self.level)
        return torch.stack([torch.zeros_like(femur), femur], dim=1)


@dataclass
class Cascade:
    network: torch.nn.Module
    refine: torch.nn.Module
    model: ModelDescription


def cascade(shape_zyx=(15, 16, 25)):
    one = Architecture(settings={}, input_channels=1)
    finer = ScaleDescription(
        architecture=one, input_mode="raw", input_recipe=FINE, windows=Windows(shape_zyx=(16, 16, 16))
    )
    coarse = InputRecipe(input_mode="raw", shape_zyx=shape_zyx, anti_aliasing=True, raw_scaling=HU)
    model = ModelDescription(architecture=one, input_mode="raw", input_recipe=coarse, refine=finer)
    return Cascade(BoneAbove(0.6), BoneAbove(0.7), model)


@pytest.fixture
def legs():
    """Two oblique bright rods in soft tissue, as far apart as legs."""
    z, y, x = np.ogrid[:60, :64, :100]
    femora = ((y - 30) ** 2 + (x - 22 - 0.2 * z) ** 2 < 80) | ((y - 30) ** 2 + (x - 80 + 0.2 * z) ** 2 < 80)
    femora = femora & (z > 8) & (z < 52)
    hu = np.where(femora, 900.0, 30.0).astype(np.float32)
    hu[:, :5] = -1000
    return CtVolume(hu_zyx=hu, grid=GRID), femora


def test_the_mask_is_the_finer_network_s_where_the_coarser_one_has_a_grid_four_times_as_coarse(legs):
    ct, femora = legs
    mask = segment(cascade(), ct).mask
    assert mask.grid == ct.grid
    assert (mask.femur_zyx != femora).sum() == 0


def test_the_finer_network_sees_the_surroundings_of_the_femora_alone(legs):
    ct, _ = legs
    far = np.full((60, 64, 400), 30.0, np.float32)
    far[:, :, :100] = ct.hu_zyx
    wide = CtVolume(hu_zyx=far, grid=VoxelGrid(shape_zyx=far.shape, spacing_mm_zyx=(1.5, 1.0, 1.0)))
    narrow, broad = cascade(), cascade((15, 16, 100))
    segment(narrow, ct)
    segment(broad, wide)
    assert broad.refine.shown < 1.3 * narrow.refine.shown


class FindsTheFirst(BoneAbove):
    """Finds nothing beyond column 44 of the CT."""

    def forward(self, x_bczyx):
        logits = super().forward(x_bczyx)
        logits[:, 1, :, :, 11:] = -40.0
        return logits


def test_another_bone_in_the_box_is_no_femur_and_what_was_missed_beside_the_femur_is(legs):
    ct, _ = legs
    beside, another = np.zeros((2, *ct.hu_zyx.shape), np.bool_)
    beside[44:52, 22:38, 38:48] = True
    another[10:18, 22:38, 44:48] = True
    package = cascade()
    package.network = FindsTheFirst(0.6)
    hu = np.where(beside | another, 900.0, ct.hu_zyx).astype(np.float32)
    femur = segment(package, CtVolume(hu_zyx=hu, grid=ct.grid)).mask.femur_zyx
    assert femur[beside].all()
    assert not femur[another].any()


def test_where_nothing_is_found_nothing_is_cut_out(legs):
    ct, _ = legs
    empty = CtVolume(hu_zyx=np.minimum(ct.hu_zyx, 40), grid=ct.grid)
    package = cascade()
    assert not segment(package, empty).mask.femur_zyx.any()
    assert package.refine.shown == 0


class FalseFind(BoneAbove):
    """Takes one place for femur as well."""

    def forward(self, x_bczyx):
        logits = super().forward(x_bczyx)
        logits[:, 1, 5:8, 6:9, 42:46] = 40.0
        return logits


def test_a_false_find_in_even_tissue_is_left_out_with_a_remark_and_does_not_refuse_the_ct_PP_03(legs):
    ct, femora = legs
    wide = np.full((60, 64, 200), 30.0, np.float32)
    wide[:, :, :100] = ct.hu_zyx
    package = cascade((15, 16, 50))
    assert segment(package, CtVolume(hu_zyx=wide, grid=replace(GRID, shape_zyx=wide.shape))).remarks == ()
    package.network = FalseFind(0.6)
    found = segment(package, CtVolume(hu_zyx=wide, grid=replace(GRID, shape_zyx=wide.shape)))
    assert np.array_equal(found.mask.femur_zyx[:, :, :100], femora)
    assert not found.mask.femur_zyx[:, :, 100:].any()
    (remark,) = found.remarks
    assert remark.startswith("PP-03: what was taken for femur about (124, 36, -262) mm is one even tissue")


def test_a_ct_turned_in_its_file_gives_the_same_femur_in_the_patient(legs):
    ct, femora = legs
    turned = VoxelGrid(
        shape_zyx=(60, 64, 100),
        spacing_mm_zyx=GRID.spacing_mm_zyx,
        origin_mm_xyz=tuple(GRID.position_mm_xyz((59, 63, 99)).tolist()),
        direction_xyz=(-1, 0, 0, 0, -1, 0, 0, 0, -1),
    )
    flipped = CtVolume(hu_zyx=np.ascontiguousarray(ct.hu_zyx[::-1, ::-1, ::-1]), grid=turned)
    assert np.array_equal(segment(cascade(), flipped).mask.femur_zyx[::-1, ::-1, ::-1], femora)


def test_boxes_hold_what_was_found_with_a_margin_and_do_not_overlap(legs):
    ct, femora = legs
    found = femora[::4, ::4, ::4].astype(np.float32)
    grid = network_grid(ct.grid, FINE)
    boxes = femur_boxes(found, grid)
    inside = np.zeros(grid.shape_zyx, int)
    for box in boxes:
        inside[box] += 1
    assert inside.max() == 1
    assert inside[femora].all()


def test_nothing_found_needs_no_box():
    assert femur_boxes(np.zeros((4, 4, 4), np.float32), GRID) == []


def test_a_part_of_a_scan_is_prepared_as_the_whole_is(legs):
    ct, _ = legs
    for mode in ("raw", "gradient", "both"):
        recipe = InputRecipe(
            input_mode=mode,
            spacing_mm_zyx=(2.0, 1.3, 0.9),
            raw_scaling=HU,
            gradient_scaling=Scaling(kind="window", low=0.0, high=300.0),
        )
        box = (slice(3, 30), slice(10, 40), slice(0, 77))
        whole = network_input(ct, recipe)
        assert whole.dtype == np.float16
        assert np.array_equal(network_input(ct, recipe, box_zyx=box), whole[(slice(None), *box)])


def test_a_scan_scaled_by_its_own_values_has_no_parts(legs):
    ct, _ = legs
    with pytest.raises(ValueError, match="scaled as the whole only where the recipe gives a spacing"):
        channel(ct, InputRecipe(input_mode="raw", shape_zyx=(8, 8, 8)), "raw", box_zyx=(slice(0, 4),) * 3)
    with pytest.raises(ValueError, match=r"raw_scaling: expected kind 'window' with spacing_mm_zyx"):
        InputRecipe(input_mode="raw", spacing_mm_zyx=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="expected one of them"):
        InputRecipe(input_mode="raw", spacing_mm_zyx=(1.0, 1.0, 1.0), shape_zyx=(4, 4, 4), raw_scaling=HU)


def test_speckles_go_and_a_broken_femur_and_the_tip_of_a_second_one_stay():
    probability = np.zeros((40, 40, 40), np.float16)
    probability[2:18, 5:15, 5:15] = 1  # two halves of a fracture
    probability[22:38, 5:15, 5:15] = 1
    probability[5, 30, 30] = 1
    probability[30:39, 20:30, 20:30] = 1  # 0.9 ml
    probability[:11, 30:40, 0:10] = 1  # 1.1 ml, a three-hundredth of a femur
    cleaned = without_speckles(probability, 1.0)
    assert cleaned[5, 30, 30] == cleaned[30, 20, 20] == 0
    assert cleaned.sum() == probability.sum() - 901


def test_the_tip_of_a_second_femur_is_cut_out_however_large_the_first_is(legs):
    ct, femora = legs
    tip = femora.copy()
    tip[:, :, 50:] = False
    tip[9:18, 26:36, 82:92] = True  # 1.35 ml
    hu = np.where(tip, 900.0, 30.0).astype(np.float32)
    found = segment(cascade(), CtVolume(hu_zyx=hu, grid=ct.grid)).mask.femur_zyx
    assert found[:, :, 50:].sum() == tip[:, :, 50:].sum()


class FindsMore(FindsTheFirst):
    """Takes a place of the coarse grid for femur as well."""

    def __init__(self, place_zyx):
        super().__init__(0.6)
        self.place_zyx = place_zyx

    def forward(self, x_bczyx):
        logits = super().forward(x_bczyx)
        logits[:, 1, *self.place_zyx] = 40.0
        return logits


def test_the_bone_about_a_speckle_of_what_was_found_is_not_filled_though_it_lies_in_the_box_of_a_femur(legs):
    ct, femora = legs
    other = np.zeros_like(femora)
    other[10:40, 22:38, 60:95] = True
    package = cascade()
    package.network = FindsMore(np.s_[4:6, 7:8, 18:21])  # 0.6 ml
    first = femora & (np.arange(100) < 45)
    hu = np.where(first | other, 900.0, 30.0).astype(np.float32)
    found = segment(package, CtVolume(hu_zyx=hu, grid=ct.grid)).mask.femur_zyx
    assert not found[:, :, 60:].any()
    assert found[first].mean() > 0.9


def test_a_piece_of_which_a_corner_was_found_is_another_bone_and_is_left_out_with_a_remark_IF_11(legs):
    ct, femora = legs
    other = np.zeros_like(femora)
    other[16:40, 24:36, 64:88] = True
    first = femora & (np.arange(100) < 45)
    package = cascade()
    package.network = FindsMore(np.s_[4:6, 6:9, 16:19])  # 1.7 ml
    hu = np.where(first | other, 900.0, 30.0).astype(np.float32)
    found = segment(package, CtVolume(hu_zyx=hu, grid=ct.grid))
    assert not found.mask.femur_zyx[:, :, 60:].any()
    assert found.mask.femur_zyx[first].mean() > 0.9
    assert sum(part.left_out_ml for part in found.refined) == pytest.approx(4.3, abs=0.05)
    (remark,) = found.remarks
    assert remark.startswith("IF-11: 4.3 ml about (24, 36, -268) mm are left out")


def looked_at_twice(package, ct):
    found = segment(package, ct)
    return found, agreement(found, second_look(package, ct, found))


def test_a_coarse_network_that_differs_at_the_rim_alone_lowers_no_agreement(legs):
    ct, _ = legs
    package = cascade()
    package.network = BoneAbove(0.53)  # voxels of 6 mm, of which a femur fills a part
    found, agreed = looked_at_twice(package, ct)
    coarse = found.network_probability_zyx >= 0.5
    assert dice_coefficient(sampled_mask(found.mask, package.model.input_recipe), coarse) < 0.9
    assert agreed == 1.0


class OneSided(BoneAbove):
    """Knows femur only in the half of what it sees with the smaller x."""

    def forward(self, x_bczyx):
        logits = super().forward(x_bczyx)
        logits[:, 1, ..., logits.shape[-1] // 2 :] = -40.0
        return logits


def test_two_looks_disagree_if_either_network_s_answer_hangs_on_where_it_looks(legs):
    ct, _ = legs
    missing, cutting = cascade(), cascade()
    missing.network, cutting.refine = OneSided(0.6), OneSided(0.7)
    assert looked_at_twice(missing, ct)[1] == 0.0  # another leg each time
    assert looked_at_twice(cutting, ct)[1] < 0.9


def test_how_sure_a_mask_s_surface_is_the_finer_network_says(legs):
    ct, _ = legs
    sure, unsure = cascade(), cascade()
    unsure.refine = BoneAbove(0.7)
    unsure.refine.steepness = 2
    assert surface_entropy_bits(*segment(sure, ct).drawn_from) < 0.1
    assert surface_entropy_bits(*segment(unsure, ct).drawn_from) > 0.6
