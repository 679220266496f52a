"""From a CT to the femur's mask on the CT's own grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from femseg.errors import ExitCode, Fault, Refusal
from femseg.inference.native_grid import onto_ct_grid
from femseg.networks.vnet import foreground_probability
from femseg.settings import checked
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.network_input import InputRecipe, network_grid, network_input
from femseg.volumes.volume import CtVolume, MaskVolume

__all__ = ["Segmentation", "femur_probability", "onto_ct_grid", "segment"]


class TrainedModel(Protocol):
    """What segmentation needs of a model package."""

    @property
    def network(self) -> torch.nn.Module:
        """(B, C, Z, Y, X) to two-channel logits (B, 2, Z, Y, X)."""

    @property
    def model(self) -> Mapping[str, Any]:
        """The package's `model.json`; "input_recipe" says how the network's input is made."""


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
    network: torch.nn.Module,
    input_czyx: NDArray[np.float32],
    *,
    device: torch.device | str = "cpu",
    name: str = "CT",
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
        raise Refusal(
            Fault(
                id="IF-03",
                file=name,
                problem=f"the network gives {np.count_nonzero(~np.isfinite(probability))} non-finite probabilities",
                fix="do not use this model; go back to the version before it",
                exit_code=ExitCode.TRAINING_FAILED,
            )
        )
    return np.asarray(probability, dtype=np.float32)


def segment(
    package: TrainedModel, ct: CtVolume, *, device: torch.device | str = "cpu", name: str = "CT"
) -> Segmentation:
    """Segment the femur with the input recipe that the model was trained with.

    Args:
        package: a loaded model package, its network already on `device`.
        ct: any size, spacing and orientation.
        name: the case, for refusals.
    Raises: Refusal as `network_input` and `femur_probability` do, or (exit 2) if the package's recipe is none.
    """
    recipe = checked(InputRecipe, package.model.get("input_recipe"), where="input_recipe", file="model.json")
    probability_zyx = femur_probability(package.network, network_input(ct, recipe, name=name), device=device, name=name)
    grid = network_grid(ct.grid, recipe)
    return Segmentation(
        mask=MaskVolume(femur_zyx=onto_ct_grid(probability_zyx, grid, ct.grid), grid=ct.grid),
        network_probability_zyx=probability_zyx,
        network_grid=grid,
    )
