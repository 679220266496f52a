"""The V-Net's layers where PyTorch's own are slow or wrong on a CPU: convolution, normalisation and PReLU."""

import math
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Normalisation = Literal["none", "instance", "group", "batch"]

_ROW = 4096  # elements in a row of the view on which channels-last PReLU works
_CHUNK_ROWS = 64  # rows taken at a time in its backward pass: 1 MiB in float32, which stays in a core's cache


class NormalisationChoice(Protocol):
    """The two settings that decide a normalisation layer."""

    @property
    def normalisation(self) -> Normalisation: ...

    @property
    def groups(self) -> int: ...


def normalisation_layer(settings: NormalisationChoice, channels: int) -> nn.Module:
    """The layer after a convolution of `channels` channels."""
    if settings.normalisation == "none":
        return nn.Identity()
    if settings.normalisation == "instance":
        return ChannelwiseNorm(channels)
    if settings.normalisation == "group":
        return nn.GroupNorm(settings.groups, channels)
    return nn.BatchNorm3d(channels)


class ChannelwiseNorm(nn.Module):
    """Instance normalisation with a learned scale and shift per channel.

    Each sample goes through batch normalisation by itself: PyTorch's InstanceNorm3d first copies channels-last features
    into another layout, and its GroupNorm's channels-last backward pass takes fifteen times as long in bfloat16.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, Z, Y, X)
        samples = [F.batch_norm(one, None, None, self.weight, self.bias, training=True) for one in x.split(1)]
        return samples[0] if len(samples) == 1 else torch.cat(samples)


class Conv3d(nn.Conv3d):
    """PyTorch's convolution, but in float32 where its bfloat16 weight gradient on a CPU is garbage.

    Where the feature map is smaller than the kernel along z, or no larger than half of it along y, oneDNN's backward
    pass reads memory that nobody wrote: the gradient is sometimes infinite, sometimes finite and wrong by any factor,
    and no check for NaN finds the latter. Seen with PyTorch 2.13.0 on a processor with avx512_bf16, in both memory
    layouts; strided and transposed convolutions with kernel 2 are right.
    """

    def forward(self, x: Tensor) -> Tensor:  # (B, C, Z, Y, X)
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or not self._garbage(x.shape[2:]):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(torch.get_autocast_dtype("cpu"))

    def _garbage(self, size_zyx: torch.Size) -> bool:
        kernel = max(self.kernel_size)
        return kernel > 1 and (size_zyx[0] < kernel or min(size_zyx[1:]) <= kernel // 2)


class ChannelPReLU(nn.PReLU):
    """PReLU with one learned slope per channel."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C, Z, Y, X)
        wide = (
            x.device.type == "cpu"
            and x.is_contiguous(memory_format=torch.channels_last_3d)
            and not torch.compiler.is_compiling()
        )
        if wide:
            return _WidePReLU.apply(x, self.weight.to(x.dtype))  # type: ignore[no-any-return, no-untyped-call]
        return F.prelu(x, self.weight)


class _WidePReLU(torch.autograd.Function):
    """PReLU of channels-last features on a CPU.

    PyTorch's kernels walk channels-last features in runs of C elements, too short for vector instructions. Here several
    voxels make one long row, with the slopes repeated along it, and the backward pass goes through the cache in pieces.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(x, slopes)
        rows, row_slopes = _rows(x, slopes)
        return _like(F.prelu(rows, row_slopes), x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, slopes = ctx.saved_tensors
        rows, row_slopes = _rows(x, slopes)
        gradient_rows, _ = _rows(gradients[0].contiguous(memory_format=torch.channels_last_3d), slopes)
        result_rows = torch.empty_like(rows)
        slope_gradient = torch.zeros(rows.shape[1], dtype=torch.float32)
        pieces = (t.split(_CHUNK_ROWS) for t in (rows, gradient_rows, result_rows))
        for piece, gradient, result in zip(*pieces, strict=True):
            above = torch.ops.aten.threshold_backward(gradient, piece, 0)  # the gradient where x > 0, else 0
            torch.lerp(above, gradient, row_slopes, out=result)
            slope_gradient += (gradient - above).mul_(piece).sum(dim=0)
        return _like(result_rows, x), slope_gradient.view(-1, len(slopes)).sum(dim=0).to(slopes.dtype)


def _rows(x: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Channels-last features as rows of whole voxels without a copy, and the slopes as long as a row."""
    voxels = x.permute(0, 2, 3, 4, 1).reshape(-1, len(slopes))
    per_row = math.gcd(len(voxels), max(1, _ROW // len(slopes)))
    return voxels.view(-1, per_row * len(slopes)), slopes.repeat(per_row)


def _like(rows: Tensor, x: Tensor) -> Tensor:
    batch, channels, *size = x.shape
    return rows.view(batch, *size, channels).permute(0, 4, 1, 2, 3)
