"""What stands between the V-Net's convolutions: normalisation and PReLU."""

from typing import Literal, Protocol

from torch import nn

Normalisation = Literal["none", "instance", "group", "batch"]


class NormalisationChoice(Protocol):
    """The two settings that decide a normalisation layer."""

    @property
    def normalisation(self) -> Normalisation: ...

    @property
    def groups(self) -> int: ...


class ChannelPReLU(nn.PReLU):
    """PReLU with one learned slope per channel."""


def normalisation_layer(settings: NormalisationChoice, channels: int) -> nn.Module:
    """The layer after a convolution of `channels` channels.

    Instance normalisation is group normalisation with one channel per group: PyTorch's own InstanceNorm3d would first
    copy channels-last features into another memory layout.
    """
    if settings.normalisation == "none":
        return nn.Identity()
    if settings.normalisation == "batch":
        return nn.BatchNorm3d(channels)
    return nn.GroupNorm(channels if settings.normalisation == "instance" else settings.groups, channels)
