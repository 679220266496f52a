"""When a CT is unlike those of a training."""

from dataclasses import replace

from tiny_model import RECIPE, TINY_NETWORK, described

from femseg.inference.training_range import outside_training, training_range
from femseg.networks.package_files import ModelDescription, Windows
from femseg.networks.vnet import VNet
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import InputRecipe

GRID = VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(4.0, 2.0, 2.0))
COARSE = VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(9.0, 9.0, 9.0))


def model_of(*grids: VoxelGrid, recipe: InputRecipe = RECIPE, **facts) -> ModelDescription:
    """Of a network that was trained on CTs of these grids."""
    return described(VNet(TINY_NETWORK, 1), recipe, training_range=training_range(grids), **facts)


def windowed(*grids: VoxelGrid) -> ModelDescription:
    """One that sees windows of 96 mm at 3 mm."""
    recipe = replace(RECIPE, shape_zyx=None, spacing_mm_zyx=(3.0, 3.0, 3.0))
    return model_of(*grids, recipe=recipe, windows=Windows(shape_zyx=(32, 32, 32)))


def test_a_ct_unlike_those_of_the_training_is_said_with_numbers():  # IF-04
    model = model_of(GRID, GRID.resized((50, 40, 40)))
    assert outside_training(GRID, model) == ()
    finer = VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(4.0, 0.5, 0.5))
    assert outside_training(finer, model)[0] == "IF-04 spacing along y is 0.5 mm, trained on 2 mm"
    assert "IF-04 field of view along x is 20 mm, trained on 80 mm" in outside_training(finer, model)


def test_a_range_is_said_with_both_ends_and_one_value_once():  # IF-04
    model = model_of(GRID, VoxelGrid(shape_zyx=(60, 40, 40), spacing_mm_zyx=(4.0, 2.5, 2.0)))
    said = " ".join(outside_training(COARSE, model))
    assert "spacing along z is 9 mm, trained on 4 mm" in said
    assert "spacing along y is 9 mm, trained on 2 to 2.5 mm" in said


def test_a_network_of_windows_does_not_see_how_fine_a_ct_is_or_how_far_it_goes_on():  # IF-04
    model = windowed(VoxelGrid(shape_zyx=(50, 50, 50), spacing_mm_zyx=(2.0, 2.0, 2.0)))
    assert outside_training(VoxelGrid(shape_zyx=(900, 500, 500), spacing_mm_zyx=(0.7, 0.7, 0.7)), model) == ()
    said = outside_training(VoxelGrid(shape_zyx=(100, 500, 40), spacing_mm_zyx=(5.0, 0.7, 0.7)), model)
    assert said == (
        "IF-04 spacing along z is 5 mm, trained on 2 mm",
        "IF-04 field of view along x is 28 mm, trained on 100 mm",
    )


def test_a_model_without_a_training_range_has_nothing_to_compare_with():
    assert outside_training(COARSE, described(VNet(TINY_NETWORK, 1))) == ()
