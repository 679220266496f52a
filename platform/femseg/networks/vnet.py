"""The V-Net: a CT-sized volume in, two channels of logits (background, femur) of the same size out."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from femseg.networks.layers import ChannelPReLU, Conv3d, Normalisation, normalisation_layer
from femseg.networks.network import Network

StrideTriple = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VNetSettings:
    """The `network:` section of params.yaml.

    Attributes:
        name: of the network.
        base_channels: channels of the topmost stage; every compression doubles them.
        strides: (z, y, x) stride of each compression, top to bottom. "isotropic" is (2, 2, 2) everywhere; "paper" makes
            the last one (1, 2, 2), so that 512 × 64 × 64 ends in the paper's 64 × 4 × 4. Kernels are as large as
            strides.
        convolutions_down: convolutions of each compression stage, the topmost and the bottom stage included.
        convolutions_up: convolutions of each expansion stage, bottom to top.
        kernel_size: edge of the convolutions' cubic kernels, odd.
        normalisation: after every convolution and de-convolution; "none" is Milletari's network. "batch" normalises
            over each worker's share of the batch, so only the others are independent of the number of workers.
        groups: groups of channels, for normalisation "group" only.
        dropout: probability with which a channel is dropped ahead of a stage's convolutions; the first stage has none.
        deep_supervision: expansion stages, besides the last, whose features are held against the mask in training.
    """

    name: str = "vnet"
    base_channels: int = 16
    strides: Literal["isotropic", "paper"] | tuple[StrideTriple, ...] = "isotropic"
    convolutions_down: tuple[int, ...] = (1, 2, 3, 3, 3)
    convolutions_up: tuple[int, ...] = (3, 3, 2, 1)
    kernel_size: int = 5
    normalisation: Normalisation = "instance"
    groups: int = 8
    dropout: float = 0.0
    deep_supervision: int = 0

    def __post_init__(self) -> None:
        if self.base_channels < 2 or self.base_channels % 2:
            raise ValueError(f"base_channels: expected an even number of at least 2, got {self.base_channels}")
        if len(self.convolutions_up) != len(self.convolutions_down) - 1 or not self.convolutions_up:
            raise ValueError(
                "convolutions_up: expected one entry fewer than convolutions_down and at least one, got "
                f"{len(self.convolutions_up)} for {len(self.convolutions_down)}"
            )
        if min(self.convolutions_down + self.convolutions_up) < 1:
            raise ValueError("convolutions_down, convolutions_up: expected at least 1 convolution in every stage")
        if self.base_channels > 1024 or max(self.convolutions_down + self.convolutions_up) > 100:
            raise ValueError("base_channels, convolutions: expected at most 1024 channels and 100 convolutions a stage")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: expected an odd number, got {self.kernel_size}")
        if self.normalisation not in ("none", "instance", "group", "batch"):
            raise ValueError(f"normalisation: expected none, instance, group or batch, got {self.normalisation!r}")
        if self.normalisation == "group" and (self.groups < 1 or (self.base_channels // 2) % self.groups):
            raise ValueError(
                f"groups: expected a divisor of half of base_channels ({self.base_channels // 2}), got {self.groups}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout: expected a probability in [0, 1), got {self.dropout}")
        if not 0 <= self.deep_supervision < len(self.convolutions_up):
            raise ValueError(
                f"deep_supervision: expected 0 to {len(self.convolutions_up) - 1} stages, got {self.deep_supervision}"
            )
        if isinstance(self.strides, str):
            if self.strides not in ("isotropic", "paper"):
                raise ValueError(f"strides: expected isotropic, paper or (z, y, x) triples, got {self.strides!r}")
        elif len(self.strides) != len(self.convolutions_up) or any(
            len(stride) != 3 or min(stride) < 1 for stride in self.strides
        ):
            raise ValueError(
                f"strides: expected {len(self.convolutions_up)} triples (z, y, x) of at least 1, got {self.strides}"
            )

    @property
    def share_matters(self) -> bool:
        """Batch statistics are taken over a worker's share, and dropout draws for the share at once."""
        return self.normalisation == "batch" or self.dropout > 0

    @property
    def compressions(self) -> tuple[StrideTriple, ...]:
        """(z, y, x) stride of each compression, top to bottom."""
        if not isinstance(self.strides, str):
            return self.strides
        last: StrideTriple = (1, 2, 2) if self.strides == "paper" else (2, 2, 2)
        return ((2, 2, 2),) * (len(self.convolutions_up) - 1) + (last,)

    def bottom_shape(self, shape_zyx: tuple[int, int, int]) -> tuple[int, int, int, int]:
        """Channels and (z, y, x) size of the smallest representation.

        Raises: ValueError naming the sizes if an input of `shape_zyx` does not divide by the strides.
        """
        z, y, x = shape_zyx
        factors = [1, 1, 1]
        for stride in self.compressions:
            factors = [factor * s for factor, s in zip(factors, stride, strict=True)]
        if min(shape_zyx) < 1 or any(size % factor for size, factor in zip(shape_zyx, factors, strict=True)):
            wanted = tuple(max(1, round(size / f)) * f for size, f in zip(shape_zyx, factors, strict=True))
            raise ValueError(
                f"a network input of {z} × {y} × {x} voxels (z, y, x) does not divide by this V-Net's strides, "
                f"{factors[0]} × {factors[1]} × {factors[2]} in all; the nearest size that does is "
                f"{wanted[0]} × {wanted[1]} × {wanted[2]}"
            )
        channels = self.base_channels * 2 ** len(self.compressions)
        return (channels, z // factors[0], y // factors[1], x // factors[2])

    def check_shape(self, shape_zyx: tuple[int, int, int]) -> None:
        """Raises: ValueError, as `bottom_shape`."""
        self.bottom_shape(shape_zyx)


class Stage(nn.Module):
    """Convolutions that learn what to add to the stage's input; PReLU after each, the last after the addition."""

    def __init__(self, channels: int, count: int, settings: VNetSettings, *, input_channels: int | None = None) -> None:
        super().__init__()
        widths = [input_channels or channels] + [channels] * count
        kernel = settings.kernel_size
        self.dropout = nn.Dropout3d(settings.dropout) if settings.dropout and not input_channels else nn.Identity()
        self.convolutions = nn.ModuleList(
            Conv3d(n_in, channels, kernel, padding=kernel // 2, bias=settings.normalisation == "none")
            for n_in in widths[:-1]
        )
        self.normalisations = nn.ModuleList(normalisation_layer(settings, channels) for _ in range(count))
        self.activations = nn.ModuleList(ChannelPReLU(channels) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, Z, Y, X), or (B, input channels, Z, Y, X) in the first stage
        layers = list(zip(self.convolutions, self.normalisations, self.activations, strict=True))
        y = self.dropout(x)
        for convolution, normalisation, activation in layers[:-1]:
            y = activation(normalisation(convolution(y)))
        convolution, normalisation, activation = layers[-1]
        y = normalisation(convolution(y))
        repeats = y.shape[1] // x.shape[1]  # 1 but for the first stage, which sees the input once per group of channels
        y += x.repeat(1, repeats, 1, 1, 1) if repeats > 1 else x
        return activation(y)  # type: ignore[no-any-return]  # ModuleList's elements are untyped


class CompressionStage(nn.Module):
    """A strided convolution doubles the channels, then a `Stage`."""

    def __init__(self, channels: int, stride: StrideTriple, count: int, settings: VNetSettings) -> None:
        super().__init__()
        bias = settings.normalisation == "none"
        self.down = nn.Conv3d(channels, 2 * channels, stride, stride=stride, bias=bias)
        self.normalisation = normalisation_layer(settings, 2 * channels)
        self.activation = ChannelPReLU(2 * channels)
        self.stage = Stage(2 * channels, count, settings)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, Z, Y, X) -> (B, 2C, Z/2, Y/2, X/2)
        return self.stage(self.activation(self.normalisation(self.down(x))))  # type: ignore[no-any-return]


class ExpansionStage(nn.Module):
    """A strided de-convolution to half of the channels, the skipped features beside them, then a `Stage`."""

    def __init__(
        self, input_channels: int, channels: int, stride: StrideTriple, count: int, settings: VNetSettings
    ) -> None:
        super().__init__()
        bias = settings.normalisation == "none"
        self.up = nn.ConvTranspose3d(input_channels, channels // 2, stride, stride=stride, bias=bias)
        self.normalisation = normalisation_layer(settings, channels // 2)
        self.activation = ChannelPReLU(channels // 2)
        self.stage = Stage(channels, count, settings)

    def forward(self, x: Tensor, skipped: Tensor) -> Tensor:  # skipped: (B, C/2, 2Z, 2Y, 2X) -> (B, C, 2Z, 2Y, 2X)
        expanded = self.activation(self.normalisation(self.up(x)))
        return self.stage(torch.cat([expanded, skipped], dim=1))  # type: ignore[no-any-return]


class VNet(Network):
    """V-Net (Milletari et al. 2016) with two output channels: 0 background, 1 femur.

    Args:
        settings: its architecture.
        input_channels: 1 for the CT or its gradient, 2 for both; must divide `base_channels`, as the first stage's
            residual repeats the input once per group of channels.
    """

    Settings = VNetSettings
    settings: VNetSettings

    def __init__(self, settings: VNetSettings, input_channels: int) -> None:
        super().__init__(settings, input_channels)
        if input_channels < 1 or settings.base_channels % input_channels:
            raise ValueError(
                f"input_channels: expected a divisor of base_channels ({settings.base_channels}), got {input_channels}"
            )
        base, compressions = settings.base_channels, settings.compressions
        self.first = Stage(base, settings.convolutions_down[0], settings, input_channels=input_channels)
        self.down = nn.ModuleList(
            CompressionStage(base * 2**level, stride, count, settings)
            for level, (stride, count) in enumerate(zip(compressions, settings.convolutions_down[1:], strict=True))
        )
        widths = [base * 2 ** len(compressions)] + [base * 2 ** (n + 1) for n in reversed(range(len(compressions)))]
        self.up = nn.ModuleList(
            ExpansionStage(n_in, n_out, stride, count, settings)
            for n_in, n_out, stride, count in zip(
                widths[:-1], widths[1:], reversed(compressions), settings.convolutions_up, strict=True
            )
        )
        self.last = nn.Conv3d(2 * base, 2, 1)
        supervised = widths[1:-1][-settings.deep_supervision :] if settings.deep_supervision else []
        self.coarser = nn.ModuleList(nn.Conv3d(width, 2, 1) for width in supervised)

    def forward(self, input_bczyx: Tensor) -> Tensor | list[Tensor]:  # (B, C, Z, Y, X) -> logits (B, 2, Z, Y, X)
        """Logits of background and femur; in training with deep supervision a list, the finest first.

        Raises: ValueError if the input's channels or sizes do not fit.
        """
        if not torch.compiler.is_compiling():
            self._check(input_bczyx)
        skipped = [self._run(self.first, input_bczyx)]
        for compression in self.down:
            skipped.append(self._run(compression, skipped[-1]))
        x, features = skipped.pop(), []
        for expansion in self.up:
            x = self._run(expansion, x, skipped.pop())
            features.append(x)
        logits: Tensor = self.last(x)
        if not (self.training and self.coarser):
            return logits
        coarser = zip(self.coarser, features[-1 - len(self.coarser) : -1], strict=True)
        return [logits, *reversed([head(x) for head, x in coarser])]

    def _run(self, stage: nn.Module, *inputs: Tensor) -> Tensor:
        if self.activation_checkpointing and torch.is_grad_enabled():
            return checkpoint(stage, *inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return stage(*inputs)  # type: ignore[no-any-return]

    def _check(self, input_bczyx: Tensor) -> None:
        if input_bczyx.ndim != 5 or input_bczyx.shape[1] != self.input_channels:
            raise ValueError(
                f"expected a network input of shape (B, {self.input_channels}, Z, Y, X), got {tuple(input_bczyx.shape)}"
            )
        z, y, x = input_bczyx.shape[2:]
        self.settings.bottom_shape((z, y, x))
