"""From a CT to the femur's mask on the CT's own grid."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from femseg.errors import Refusal
from femseg.inference.cascade import Part, refined
from femseg.inference.windows import mirrored_too, scan_probability, windowed_probability, windows_at_once
from femseg.networks.network import FEMUR_FROM, foreground_probability
from femseg.networks.package_files import ModelDescription, ScaleDescription, Windows
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid, to_lps
from femseg.volumes.network_input import network_grid, network_input
from femseg.volumes.resample import Box, axis_weights

_SLAB_SLICES = 32


def onto_ct_grid(
    probability_zyx: NDArray[np.floating[Any]],
    network_grid: VoxelGrid,
    ct_grid: VoxelGrid,
    *,
    box_zyx: Box | None = None,
) -> NDArray[np.bool_]:
    """Interpolate the network's probability in every voxel of the CT and cut it at `FEMUR_FROM`.

    Linear in physical space. The two grids fill the same box, so this is separable; voxels in the half-voxel rim beyond
    the outermost network centres take the edge's value. Worked slab by slab, and only around probabilities that
    reach it: a mean of smaller ones is smaller.

    Args:
        probability_zyx: on `network_grid`, shape (Z, Y, X), or on its box.
        network_grid: as `volumes.network_input.network_grid` makes it from `ct_grid`.
        ct_grid: the CT's own grid, any orientation.
        box_zyx: the part of `network_grid` that the probability covers; beyond it, it is 0.
    Returns: femur, on `ct_grid`.
    Raises: ValueError if shapes disagree or the network grid does not fill the CT's box.
    """
    box = box_zyx or tuple(slice(0, n) for n in network_grid.shape_zyx)
    expected = tuple(part.stop - part.start for part in box)
    if probability_zyx.shape != expected:
        raise ValueError(f"probability shape {probability_zyx.shape} does not match grid {expected}")
    femur_zyx = np.zeros(ct_grid.shape_zyx, dtype=np.bool_)
    femur_lps_zyx, lps_grid = to_lps(femur_zyx, ct_grid)  # written through this view
    offset_mm = network_grid.largest_offset_mm(lps_grid.resized(network_grid.shape_zyx))
    if offset_mm > 1e-3:
        raise ValueError(f"network grid lies {offset_mm:.3g} mm off the CT's box, expected it to fill the same box")
    likely = probability_zyx >= FEMUR_FROM
    if not likely.any():
        return femur_zyx

    (z_first, from_z), (y_first, from_y), (x_first, from_x) = (
        _rows_reached(axis_weights(n_in, n_out, anti_aliasing=False)[:, part], np.asarray(likely.any(axis=other_axes)))
        for n_in, n_out, part, other_axes in zip(
            network_grid.shape_zyx, lps_grid.shape_zyx, box, ((1, 2), (0, 2), (0, 1)), strict=True
        )
    )
    n_y, n_x = from_y.shape[0], from_x.shape[0]
    for first in range(0, from_z.shape[0], _SLAB_SLICES):
        part = from_z[first : first + _SLAB_SLICES]
        layers = np.unique(part.indices)
        probability = probability_zyx[layers].reshape(len(layers), -1).astype(np.float64)
        slab = (part[:, layers] @ probability).reshape(-1, *probability_zyx.shape[1:])
        for z, slice_yx in enumerate(slab, start=z_first + first):
            interpolated = from_x @ (from_y @ slice_yx).T  # (X, Y)
            femur_lps_zyx[z, y_first : y_first + n_y, x_first : x_first + n_x] = interpolated.T >= FEMUR_FROM
    return femur_zyx


def _rows_reached(weights: csr_array, likely: NDArray[np.bool_]) -> tuple[int, csr_array]:
    """The rows, first to last, that take anything from a likely voxel, and the number of the first."""
    reached = np.flatnonzero(weights @ likely.astype(np.float64))
    return int(reached[0]), weights[reached[0] : reached[-1] + 1]


class TrainedModel(Protocol):
    """What segmentation needs of a model package."""

    @property
    def network(self) -> torch.nn.Module:
        """(B, C, Z, Y, X) to two-channel logits (B, 2, Z, Y, X)."""

    @property
    def refine(self) -> torch.nn.Module | None:
        """The finer network, if there is one."""

    @property
    def model(self) -> ModelDescription:
        """What the package says of them: `input_recipe` makes a network's input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """A femur found in a CT.

    Attributes:
        mask: on the CT's own grid, in its own orientation.
        network_input_czyx: what the network was shown that sees the scan at the coarser scale, shape (C, Z, Y, X).
        network_probability_zyx: what it said, in 0…1.
        network_grid: where those voxels lie.
        refined: of two networks, where the finer one was asked, and what it said.
        remarks: on pieces that are left out.
    """

    mask: MaskVolume
    network_input_czyx: NDArray[np.floating[Any]]
    network_probability_zyx: NDArray[np.floating[Any]]
    network_grid: VoxelGrid
    refined: tuple[Part, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def drawn_from(self) -> tuple[NDArray[np.floating[Any]], ...]:
        """The probabilities of which the mask is made."""
        return tuple(part.probability_zyx for part in self.refined) or (self.network_probability_zyx,)


def device_at_hand() -> torch.device:
    """The first GPU that this process sees, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def femur_probability(
    network: torch.nn.Module,
    input_czyx: NDArray[np.floating[Any]],
    *,
    windows: Windows | None = None,
    wanted_zyx: NDArray[np.bool_] | None = None,
    whole_scan: bool = False,
    device: torch.device | str = "cpu",
    name: str = "CT",
) -> NDArray[np.floating[Any]]:
    """The network's probability of femur in every voxel of its grid.

    Args:
        network: moved to `device`; run in evaluation mode and left in the mode it was in.
        input_czyx: one case's input in 0…1, shape (C, Z, Y, X).
        windows: None if the network sees it whole.
        wanted_zyx: of windows, those without one of these voxels are left out.
        whole_scan: the input ends where the scan does, and all of it is wanted.
        name: the case, for refusals.
    Returns: shape (Z, Y, X).
    Raises: Refusal (IF-03, exit 7) if any probability is not finite; (TR-13, exit 5) where a GPU's memory is too small.
    """
    device = torch.device(device)
    kind = device.type
    half = windows is not None and windows.precision == "bfloat16" and _is_quick_in_bfloat16(kind)

    def predict(batch: Tensor) -> Tensor:
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=half):
            logits = network(batch.to(device))
        return foreground_probability(logits).cpu()

    was_training = network.training
    network.to(device).eval()
    try:
        with torch.inference_mode(), _repeatable_on_gpus(device):
            if windows is None:
                input_bczyx = torch.from_numpy(np.array(input_czyx[None], dtype=np.float32))
                probability = predict(input_bczyx)[0].numpy()
            else:
                seen = mirrored_too(predict) if windows.mirror else predict
                at_once = windows_at_once(seen, (len(input_czyx), *windows.shape_zyx), device)
                windowed = scan_probability if whole_scan else partial(windowed_probability, wanted_zyx=wanted_zyx)
                probability = windowed(seen, input_czyx, windows, at_once=at_once)
    finally:
        network.train(was_training)
    if not np.isfinite(probability).all():
        problem = f"the network gives {np.count_nonzero(~np.isfinite(probability))} non-finite probabilities"
        raise Refusal.of("IF-03", name, problem, "do not use this model; go back to the version before it")
    return probability


@contextmanager
def _repeatable_on_gpus(device: torch.device) -> Iterator[None]:
    """The same bits on every run on one GPU; what does not fit in its memory is refused."""
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True):
            yield
    except torch.OutOfMemoryError as error:
        fix = "close what else uses the GPU, or set CUDA_VISIBLE_DEVICES to nothing to compute on the processor"
        raise Refusal.of("TR-13", device, "out of GPU memory in a segmentation", fix) from error


def _is_quick_in_bfloat16(kind: str) -> bool:
    """Whether a device has instructions for it; a processor without them is slower in bfloat16 than in float32."""
    return kind == "cuda" or (kind == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def segment(
    package: TrainedModel, ct: CtVolume, *, device: torch.device | str = "cpu", name: str = "CT"
) -> Segmentation:
    """Segment the femur with the input recipe that the model was trained with.

    Args:
        package: a loaded model package.
        ct: any size, spacing and orientation.
        name: the case, for refusals.
    Raises: Refusal as `network_input` and `femur_probability` do.
    """
    model = package.model
    input_czyx = network_input(ct, model.input_recipe, name=name)
    probability_zyx = femur_probability(
        package.network, input_czyx, windows=model.windows, whole_scan=True, device=device, name=name
    )
    grid = network_grid(ct.grid, model.input_recipe)
    parts: tuple[Part, ...] = ()
    remarks: tuple[str, ...] = ()
    if package.refine is None or model.refine is None:
        femur_zyx = onto_ct_grid(probability_zyx, grid, ct.grid)
    else:
        parts, remarks = refined(
            package.refine, model.refine, ct, probability_zyx, look=femur_probability, device=device, name=name
        )
        femur_zyx = parts_onto_ct_grid(parts, model.refine, ct.grid)
    return Segmentation(
        mask=MaskVolume(femur_zyx=femur_zyx, grid=ct.grid),
        network_input_czyx=input_czyx,
        network_probability_zyx=probability_zyx,
        network_grid=grid,
        refined=parts,
        remarks=remarks,
    )


def parts_onto_ct_grid(parts: Sequence[Part], scale: ScaleDescription, ct_grid: VoxelGrid) -> NDArray[np.bool_]:
    """The femora of all boxes; see `onto_ct_grid`."""
    femur_zyx = np.zeros(ct_grid.shape_zyx, np.bool_)
    grid = network_grid(ct_grid, scale.input_recipe)
    for box, probability_zyx, _ in parts:
        femur_zyx |= onto_ct_grid(probability_zyx, grid, ct_grid, box_zyx=box)
    return femur_zyx
