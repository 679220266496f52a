"""A small residual U-Net, as a lab adds it from outside of femseg: `network.name: residual_unet:ResidualUNet`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from femseg.networks.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualUNetSettings:
    """Attributes: name, by which it is found; width of the topmost level; levels, each half as large as the last."""

    name: str = "residual_unet:ResidualUNet"
    width: int = 4
    levels: int = 2

    def __post_init__(self) -> None:
        if self.width < 1 or self.levels < 1:
            raise ValueError(f"width, levels: expected at least 1, got {self.width}, {self.levels}")

    @property
    def share_matters(self) -> bool:
        return False  # instance normalisation, no dropout

    def check_shape(self, shape_zyx: tuple[int, int, int]) -> None:
        if any(size % 2**self.levels for size in shape_zyx):
            raise ValueError(f"sizes {shape_zyx} (z, y, x) do not divide by {2**self.levels}")


class Residual(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(n_in, n_out, 3, stride=stride, padding=1)
        self.normalisation = nn.InstanceNorm3d(n_out, affine=True)
        self.shortcut = nn.Conv3d(n_in, n_out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.normalisation(self.convolution(x)) + self.shortcut(x))


class ResidualUNet(Network):
    Settings = ResidualUNetSettings
    settings: ResidualUNetSettings

    def __init__(self, settings: ResidualUNetSettings, input_channels: int) -> None:
        super().__init__(settings, input_channels)
        widths = [settings.width * 2**level for level in range(settings.levels + 1)]
        self.first = Residual(input_channels, widths[0])
        self.down = nn.ModuleList(Residual(n, 2 * n, stride=2) for n in widths[:-1])
        self.up = nn.ModuleList(Residual(3 * n, n) for n in reversed(widths[:-1]))
        self.last = nn.Conv3d(widths[0], 2, 1)

    def forward(self, input_bczyx: Tensor) -> Tensor:
        skipped = [self.first(input_bczyx)]
        for stage in self.down:
            skipped.append(stage(skipped[-1]))
        x = skipped.pop()
        for stage in self.up:
            upsampled = nn.functional.interpolate(x, scale_factor=2)
            x = stage(torch.cat([upsampled, skipped.pop()], dim=1))
        return self.last(x)
