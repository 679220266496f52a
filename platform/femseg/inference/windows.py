"""A network over a volume in overlapping windows, each weighted by a Gaussian about its centre."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from femseg.networks.package_files import Windows

Shape = tuple[int, int, int]
Predict = Callable[[Tensor], Tensor]  # (B, C, Z, Y, X) to probabilities (B, Z, Y, X), float32

_SIGMA = 0.125  # of the Gaussian, as a fraction of the window's edge
_LEAST_WEIGHT = 1e-3
_SHARE_OF_GPU, _MOST_AT_ONCE = 0.125, 16


def window_starts(size: int, window: int, overlap: float) -> tuple[int, ...]:
    """First voxels of the windows along an axis at least as long as one; the last one ends with the axis."""
    step = max(1, int(window * (1 - overlap)))
    count = math.ceil((size - window) / step) + 1
    return tuple(min(number * step, size - window) for number in range(count))


def spare_voxels(size: int, window: int, overlap: float) -> int:
    """By how many voxels an axis may grow without one more window along it."""
    starts = window_starts(max(size, window), window, overlap)
    return (len(starts) - 1) * max(1, int(window * (1 - overlap))) + window - size


def gaussian_weights(shape_zyx: Shape) -> NDArray[np.float32]:
    """How much each voxel of a window counts: 1 in the middle, at least a thousandth in the corners."""
    z, y, x = (np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (_SIGMA * n)) ** 2) for n in shape_zyx)
    weights: NDArray[np.float64] = z[:, None, None] * y[:, None] * x
    return np.maximum(weights, max(float(weights.min()), _LEAST_WEIGHT)).astype(np.float32)


def windowed_probability(
    predict: Predict,
    input_czyx: NDArray[np.floating],
    windows: Windows,
    *,
    at_once: int = 1,
    wanted_zyx: NDArray[np.bool_] | None = None,
) -> NDArray[np.float16]:
    """The probability in every voxel, averaged over the windows that see it.

    The sums of one layer of windows are held at a time, so memory does not grow with the length of a scan. A volume
    smaller than a window is set into zeros, as the edge of a scan is in training.

    Args:
        predict: of a batch of windows.
        input_czyx: shape (C, Z, Y, X).
        at_once: windows in a batch; the result does not depend on it but by rounding.
        wanted_zyx: windows without one of these voxels are left out; what no window sees has probability 0.
    Returns: shape (Z, Y, X), the same on every run on one machine.
    Source: MONAI's sliding_window_inference with mode "gaussian", to which it is equal to rounding.
    """
    before, padded = _padded(input_czyx, windows.shape_zyx)
    size, window = padded.shape[1:], windows.shape_zyx
    starts = [window_starts(n, w, windows.overlap) for n, w in zip(size, window, strict=True)]
    weights = gaussian_weights(window)
    result = np.zeros(size, np.float16)
    sums, seen = (np.zeros((window[0], *size[1:]), np.float32) for _ in range(2))
    for z, next_z in zip(starts[0], (*starts[0][1:], size[0]), strict=True):
        boxes = [
            box
            for y, x in itertools.product(*starts[1:])
            for box in [tuple(slice(a, a + w) for a, w in zip((z, y, x), window, strict=True))]
            if wanted_zyx is None or _unpadded(wanted_zyx, box, before).any()
        ]
        for group in _in_groups(boxes, at_once):
            batch = torch.from_numpy(np.stack([padded[(slice(None), *box)] for box in group]).astype(np.float32))
            for box, probability in zip(group, predict(batch).numpy(), strict=True):
                sums[(slice(None), *box[1:])] += weights * probability
                seen[(slice(None), *box[1:])] += weights
        done = next_z - z
        np.divide(sums[:done], seen[:done], out=result[z:next_z], where=seen[:done] > 0, casting="same_kind")
        for held in (sums, seen):
            held[: -done or None] = held[done:]
            held[len(held) - done :] = 0
    return result[tuple(slice(b, b + n) for b, n in zip(before, input_czyx.shape[1:], strict=True))]


def scan_probability(
    predict: Predict, input_czyx: NDArray[np.floating], windows: Windows, *, at_once: int = 1
) -> NDArray[np.float16]:
    """As `windowed_probability`, of a whole scan, at whose first and last slice bones are cut off.

    These lie at the edge of every window within the scan. So one more layer of windows has its middle there, half of it
    in zeros beyond the scan, as patches have in training: at the very end it counts as much as all others together, and
    less and less from there on.
    """
    found = windowed_probability(predict, input_czyx, windows, at_once=at_once)
    window, half = windows.shape_zyx[0], windows.shape_zyx[0] // 2
    weights, counted = gaussian_weights((window, 1, 1)), np.ones((len(found), 1, 1), np.float32)
    seen = min(half, len(found))  # of such a window's slices, those in the scan
    first, last = slice(0, seen), slice(len(found) - seen, len(found))
    for at, before in ((first, window - half), (last, half - seen)):
        zeros = ((0, 0), (before, window - before - seen), (0, 0), (0, 0))
        again = windowed_probability(predict, np.pad(input_czyx[:, at], zeros), windows, at_once=at_once)
        within = slice(before, before + seen)
        sums = counted[at] * found[at] + weights[within] * again[within]
        counted[at] += weights[within]
        found[at] = sums / counted[at]
    return found


def windows_at_once(predict: Predict, shape_czyx: Sequence[int], device: torch.device) -> int:
    """How many windows fit in a batch: those that an eighth of the GPU's memory holds, at most 16; on a processor one.

    Not of the memory that is free just now: the last bits depend on the batch. On a processor a batch of 64³ windows
    takes 1.15 times as long as its windows alone in float32, 1.6 times in bfloat16.
    """
    if device.type != "cuda":
        return 1
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    predict(torch.zeros(1, *shape_czyx))
    of_one = torch.cuda.max_memory_allocated(device) - before
    return at_once_in(torch.cuda.get_device_properties(device).total_memory, of_one)


def at_once_in(memory_bytes: int, of_one_bytes: int) -> int:
    """The same of a GPU's memory and what one window takes of it."""
    return max(1, min(_MOST_AT_ONCE, int(_SHARE_OF_GPU * memory_bytes) // max(1, of_one_bytes)))


def mirrored_too(predict: Predict) -> Predict:
    """The mean of what a network finds in a window and in its mirror image."""

    def mean(batch: Tensor) -> Tensor:
        return 0.5 * (predict(batch) + predict(batch.flip(-1)).flip(-1))

    return mean


def _padded(input_czyx: NDArray[np.floating], window: Shape) -> tuple[Shape, NDArray[np.floating]]:
    """The volume in the middle of zeros where it is smaller than a window, and the voxels put before it."""
    lacking = [max(0, w - n) for n, w in zip(input_czyx.shape[1:], window, strict=True)]
    z, y, x = (n // 2 for n in lacking)
    if not any(lacking):
        return (z, y, x), input_czyx
    around = [(0, 0), *((b, n - b) for b, n in zip((z, y, x), lacking, strict=True))]
    return (z, y, x), np.pad(input_czyx, around)


def _unpadded(array_zyx: NDArray[np.bool_], box: Sequence[slice], before: Shape) -> NDArray[np.bool_]:
    return array_zyx[tuple(slice(max(0, s.start - b), max(0, s.stop - b)) for s, b in zip(box, before, strict=True))]


def _in_groups(boxes: Sequence[tuple[slice, ...]], size: int) -> Iterator[Sequence[tuple[slice, ...]]]:
    for first in range(0, len(boxes), size):
        yield boxes[first : first + size]
