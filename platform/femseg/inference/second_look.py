"""Does a model say the same of a CT when it sees it otherwise? A second look, mirrored and through other windows."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from femseg.inference.segment import FOUND_FROM, Segmentation, TrainedModel, femur_probability
from femseg.metrics.overlap import dice_coefficient
from femseg.networks.network import FEMUR_FROM
from femseg.networks.package_files import ModelDescription
from femseg.volumes.network_input import sampled_mask

_OVERLAP = 0.25  # less than at a first look: one opinion of each voxel is enough


def second_look(
    package: TrainedModel, found: Segmentation, *, device: torch.device | str = "cpu", name: str = "CT"
) -> NDArray[np.floating[Any]]:
    """The probability of femur in the CT's mirror image, left to right, put back where it belongs.

    A network of windows looks only near what was found, through windows that begin a quarter of one earlier; what
    they do not see has probability 0.

    Args:
        found: at the coarser scale, where the look is repeated.
        name: the case, for refusals.
    Returns: on `found.network_grid`, shape (Z, Y, X).
    Raises: Refusal as `femur_probability` does.
    """
    mirrored = found.network_input_czyx[..., ::-1]
    windows = package.model.windows
    if not (found.network_probability_zyx >= FOUND_FROM).any():
        return np.zeros_like(found.network_probability_zyx)
    if windows is None:
        return femur_probability(package.network, mirrored, device=device, name=name)[..., ::-1]
    earlier = [(size // 4, 0) for size in windows.shape_zyx]  # zeros, as beyond the edge of a scan in training
    probability_zyx = femur_probability(
        package.network,
        np.pad(mirrored, [(0, 0), *earlier]),
        windows=replace(windows, mirror=False, overlap=min(windows.overlap, _OVERLAP)),
        wanted_zyx=np.pad(found.network_probability_zyx[..., ::-1] >= FOUND_FROM, earlier),
        device=device,
        name=name,
    )
    z, y, x = (zeros for zeros, _ in earlier)
    return probability_zyx[z:, y:, x:][..., ::-1]


def agreement(model: ModelDescription, found: Segmentation, second_zyx: NDArray[np.floating[Any]]) -> float:
    """Dice of what a model finds at the first look and at the second; 0 where it finds nothing.

    Of two networks, the mask of the finer one is held against the second look of the coarser.
    """
    first = found.network_probability_zyx >= FEMUR_FROM
    if model.refine:
        first = sampled_mask(found.mask, model.input_recipe)
    return dice_coefficient(first, second_zyx >= FEMUR_FROM) if first.any() else 0.0
