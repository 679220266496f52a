"""Networks of a few thousand weights, and packages of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from femseg.lineage.provenance import Lineage
from femseg.networks.network import Network
from femseg.networks.package import architecture_of, write_package
from femseg.networks.package_files import (
    ModelDescription,
    ScaleDescription,
    TrainingMetrics,
    TrainingRange,
    UsedSettings,
    Windows,
)
from femseg.networks.vnet import VNet, VNetSettings
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe

TINY_NETWORK = VNetSettings(
    base_channels=4, strides=((2, 2, 2), (2, 2, 2)), convolutions_down=(1, 1, 1), convolutions_up=(1, 1), kernel_size=3
)
JUDGED = (0, 10, 11)  # how `femseg segment --write-rejected` may end: what such a network finds is no femur
RECIPE = InputRecipe(
    input_mode="raw", shape_zyx=(16, 16, 16), raw_scaling=Scaling(kind="window", low=-200.0, high=1200.0)
)


def described(network: Network, recipe: InputRecipe = RECIPE, **facts: Any) -> ModelDescription:
    """A network's model.json."""
    return ModelDescription(
        architecture=architecture_of(network), input_mode=recipe.input_mode, input_recipe=recipe, **facts
    )


def write_tiny_package(folder: Path, *, seed: int = 0, cohort_source: str = "", recipe: InputRecipe = RECIPE) -> str:
    """A package with the weights that a seed draws; returns its SHA-256."""
    torch.manual_seed(seed)
    network = VNet(TINY_NETWORK, 1)
    model = described(
        network,
        metrics=TrainingMetrics(validation_dice=0.5, best_iteration=2),
        training=UsedSettings(train={"seed": seed}),
        cohort_source=cohort_source,
        recipe=recipe,
        training_range=TrainingRange(
            spacing_mm_zyx=((4.0, 3.0, 2.5), (4.0, 3.0, 2.5)), extent_mm_zyx=((50.0, 60.0, 60.0), (60.0, 80.0, 80.0))
        ),
    )
    return write_package(folder, network, model=model, lineage=Lineage(seed=seed))


def write_tiny_cascade(folder: Path) -> str:
    """A package of two networks; in most of a CT the coarser one finds something."""
    torch.manual_seed(0)
    network, finer = VNet(TINY_NETWORK, 1), VNet(TINY_NETWORK, 1)
    scale = ScaleDescription(
        architecture=architecture_of(finer),
        input_mode="raw",
        input_recipe=replace(RECIPE, shape_zyx=None, spacing_mm_zyx=(2.0, 2.0, 2.0), anti_aliasing=True),
        windows=Windows(shape_zyx=(16, 16, 16)),
    )
    model = described(network, name="cascade-raw", refine=scale)
    return write_package(folder, network, model=model, lineage=Lineage(seed=0), refine=finer)
