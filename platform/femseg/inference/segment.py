"""From a CT to the femur's mask on the CT's own grid."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from femseg.errors import Refusal
from femseg.networks.network import FEMUR_FROM, foreground_probability
from femseg.networks.package_files import ModelDescription
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid, to_lps
from femseg.volumes.network_input import network_grid, network_input
from femseg.volumes.resample import axis_weights

_SLAB_SLICES = 32


def onto_ct_grid(
    probability_zyx: NDArray[np.float32], network_grid: VoxelGrid, ct_grid: VoxelGrid
) -> NDArray[np.bool_]:
    """Interpolate the network's probability in every voxel of the CT and cut it at `FEMUR_FROM`.

    Linear in physical space. The two grids fill the same box, so this is separable; voxels in the half-voxel rim beyond
    the outermost network centres take the edge's value. Worked slab by slab, and only around probabilities that
    reach it: a mean of smaller ones is smaller.

    Args:
        probability_zyx: on `network_grid`, shape (Z, Y, X).
        network_grid: as `volumes.network_input.network_grid` makes it from `ct_grid`.
        ct_grid: the CT's own grid, any orientation.
    Returns: femur, on `ct_grid`.
    Raises: ValueError if shapes disagree or the network grid does not fill the CT's box.
    """
    if probability_zyx.shape != network_grid.shape_zyx:
        raise ValueError(f"probability shape {probability_zyx.shape} does not match grid {network_grid.shape_zyx}")
    femur_zyx = np.zeros(ct_grid.shape_zyx, dtype=np.bool_)
    femur_lps_zyx, lps_grid = to_lps(femur_zyx, ct_grid)  # written through this view
    offset_mm = network_grid.largest_offset_mm(lps_grid.resized(network_grid.shape_zyx))
    if offset_mm > 1e-3:
        raise ValueError(f"network grid lies {offset_mm:.3g} mm off the CT's box, expected it to fill the same box")
    likely = probability_zyx >= FEMUR_FROM
    if not likely.any():
        return femur_zyx

    (z_first, from_z), (y_first, from_y), (x_first, from_x) = (
        _rows_reached(axis_weights(n_in, n_out, anti_aliasing=False), np.asarray(likely.any(axis=other_axes)))
        for n_in, n_out, other_axes in zip(
            network_grid.shape_zyx, lps_grid.shape_zyx, ((1, 2), (0, 2), (0, 1)), strict=True
        )
    )
    n_y, n_x = from_y.shape[0], from_x.shape[0]
    probability = probability_zyx.reshape(len(probability_zyx), -1).astype(np.float64)
    for first in range(0, from_z.shape[0], _SLAB_SLICES):
        slab = (from_z[first : first + _SLAB_SLICES] @ probability).reshape(-1, *probability_zyx.shape[1:])
        for z, slice_yx in enumerate(slab, start=z_first + first):
            interpolated = from_x @ (from_y @ slice_yx).T  # (X, Y)
            femur_lps_zyx[z, y_first : y_first + n_y, x_first : x_first + n_x] = interpolated.T >= FEMUR_FROM
    return femur_zyx


def _rows_reached(weights: csr_array, likely: NDArray[np.bool_]) -> tuple[int, csr_array]:
    """The rows, first to last, that take anything from a likely voxel, and the number of the first."""
    reached = np.flatnonzero(weights @ likely.astype(np.float64))
    return int(reached[0]), weights[reached[0] : reached[-1] + 1]


__all__ = ["Segmentation", "femur_probability", "onto_ct_grid", "segment"]


class TrainedModel(Protocol):
    """What segmentation needs of a model package."""

    @property
    def network(self) -> torch.nn.Module:
        """(B, C, Z, Y, X) to two-channel logits (B, 2, Z, Y, X)."""

    @property
    def model(self) -> ModelDescription:
        """What the package says of it: `input_recipe` makes the network's input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """A femur found in a CT.

    Attributes:
        mask: on the CT's own grid, in its own orientation.
        network_probability_zyx: what the network said, float32 in 0…1.
        network_grid: where those voxels lie.
    """

    mask: MaskVolume
    network_probability_zyx: NDArray[np.float32]
    network_grid: VoxelGrid


def femur_probability(
    network: torch.nn.Module, input_czyx: NDArray[np.float32], *, device: torch.device | str = "cpu", name: str = "CT"
) -> NDArray[np.float32]:
    """The network's probability of femur in every voxel of its grid.

    Args:
        network: already on `device`; run in evaluation mode and left in the mode it was in.
        input_czyx: one case's input in 0…1, shape (C, Z, Y, X).
        name: the case, for refusals.
    Returns: shape (Z, Y, X).
    Raises: Refusal (IF-03, exit 7) if any probability is not finite.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            input_bczyx = torch.from_numpy(np.array(input_czyx[None], dtype=np.float32)).to(device)
            probability = foreground_probability(network(input_bczyx))[0].cpu().numpy()
    finally:
        network.train(was_training)
    if not np.isfinite(probability).all():
        problem = f"the network gives {np.count_nonzero(~np.isfinite(probability))} non-finite probabilities"
        raise Refusal.of("IF-03", name, problem, "do not use this model; go back to the version before it")
    return np.asarray(probability, dtype=np.float32)


def segment(
    package: TrainedModel, ct: CtVolume, *, device: torch.device | str = "cpu", name: str = "CT"
) -> Segmentation:
    """Segment the femur with the input recipe that the model was trained with.

    Args:
        package: a loaded model package, its network already on `device`.
        ct: any size, spacing and orientation.
        name: the case, for refusals.
    Raises: Refusal as `network_input` and `femur_probability` do.
    """
    recipe = package.model.input_recipe
    probability_zyx = femur_probability(package.network, network_input(ct, recipe, name=name), device=device, name=name)
    grid = network_grid(ct.grid, recipe)
    return Segmentation(
        mask=MaskVolume(femur_zyx=onto_ct_grid(probability_zyx, grid, ct.grid), grid=ct.grid),
        network_probability_zyx=probability_zyx,
        network_grid=grid,
    )
