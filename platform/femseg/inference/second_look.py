"""Does a model say the same of a CT when it sees it otherwise? A second look, mirrored and through other windows."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from femseg.inference.cascade import FOUND_FROM, refined
from femseg.inference.segment import Segmentation, TrainedModel, femur_probability, onto_ct_grid, parts_onto_ct_grid
from femseg.inference.windows import spare_voxels
from femseg.metrics.overlap import dice_coefficient
from femseg.networks.package_files import Windows
from femseg.volumes.grid import CtVolume

_OVERLAP = 0.25  # less than at a first look: one opinion of each voxel is enough


def second_look(
    package: TrainedModel, ct: CtVolume, found: Segmentation, *, device: torch.device | str = "cpu", name: str = "CT"
) -> NDArray[np.bool_]:
    """What the model calls femur in the CT's mirror image, left to right, put back where it belongs.

    A network of windows looks only near what was found, each voxel in few of them. Of two networks both look again: the
    finer one where the coarser one sends it now.

    Args:
        found: at the first look.
        name: the case, for refusals.
    Returns: on the CT's grid, shape (Z, Y, X).
    Raises: Refusal as `femur_probability` does.
    """
    model, likely_zyx = package.model, found.network_probability_zyx >= FOUND_FROM
    if not likely_zyx.any():
        return np.zeros(ct.grid.shape_zyx, np.bool_)
    probability_zyx = mirrored_probability(
        package.network,
        found.network_input_czyx,
        windows=model.windows,
        wanted_zyx=likely_zyx,
        device=device,
        name=name,
    )
    if package.refine is None or model.refine is None:
        return onto_ct_grid(probability_zyx, found.network_grid, ct.grid)
    parts, _ = refined(
        package.refine, model.refine, ct, probability_zyx, look=mirrored_probability, device=device, name=name
    )
    return parts_onto_ct_grid(parts, model.refine, ct.grid)


def mirrored_probability(
    network: torch.nn.Module,
    input_czyx: NDArray[np.floating[Any]],
    *,
    windows: Windows | None,
    wanted_zyx: NDArray[np.bool_],
    device: torch.device | str = "cpu",
    name: str = "CT",
) -> NDArray[np.floating[Any]]:
    """As `femur_probability`, of the mirror image and put back.

    Windows overlap by a quarter, without their own mirror images, and begin up to a quarter of one earlier than at a
    first look, as far as that makes no more of them.
    """
    mirrored, wanted = input_czyx[..., ::-1], wanted_zyx[..., ::-1]
    if windows is None:
        return femur_probability(network, mirrored, device=device, name=name)[..., ::-1]
    overlap = min(windows.overlap, _OVERLAP)
    earlier = [  # zeros, as beyond the edge of a scan in training
        (min(window // 4, spare_voxels(size, window, overlap)), 0)
        for size, window in zip(wanted.shape, windows.shape_zyx, strict=True)
    ]
    probability_zyx = femur_probability(
        network,
        np.pad(mirrored, [(0, 0), *earlier]),
        windows=replace(windows, mirror=False, overlap=overlap),
        wanted_zyx=np.pad(wanted, earlier),
        device=device,
        name=name,
    )
    z, y, x = (zeros for zeros, _ in earlier)
    return probability_zyx[z:, y:, x:][..., ::-1]


def agreement(found: Segmentation, second_zyx: NDArray[np.bool_]) -> float:
    """Dice of the masks of both looks; 0 where the first one found nothing."""
    first_zyx = found.mask.femur_zyx
    return dice_coefficient(first_zyx, second_zyx) if first_zyx.any() else 0.0
