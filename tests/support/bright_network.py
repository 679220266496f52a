"""A model whose answer is known: femur is what has more than 600 HU. In its CTs, it has 1000 HU, and 750 inside."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from femseg.lineage.provenance import Lineage
from femseg.networks.network import Network
from femseg.networks.package import ModelPackage, architecture_of, write_package
from femseg.networks.package_files import ModelDescription, TrainingRange, Windows
from femseg.phantom import PhantomSettings, PhantomStudy, phantom_study
from femseg.volumes.grid import CtVolume, MaskVolume
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe

_FROM_HU = 600.0
_RECIPE = InputRecipe(
    input_mode="raw", spacing_mm_zyx=(4.0, 2.5, 2.5), raw_scaling=Scaling(kind="window", low=0.0, high=1000.0)
)
_MOST_MM = (1000.0, 600.0, 600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrightSettings:
    name: str = "bright_network:Bright"

    @property
    def share_matters(self) -> bool:
        return False

    def check_shape(self, shape_zyx: tuple[int, int, int]) -> None:
        """Any."""


class Bright(Network):
    Settings = BrightSettings

    def __init__(self, settings: BrightSettings, input_channels: int) -> None:
        super().__init__(settings, input_channels)
        self.steepness = nn.Parameter(torch.tensor(30.0))

    def forward(self, input_bczyx: Tensor) -> Tensor:
        above = self.steepness * (input_bczyx[:, :1].float() - _FROM_HU / 1000.0)
        return torch.cat([torch.zeros_like(above), above], dim=1)


def bright_model() -> ModelPackage:
    network = Bright(BrightSettings(), 1)
    model = ModelDescription(
        architecture=architecture_of(network),
        input_mode="raw",
        input_recipe=_RECIPE,
        windows=Windows(shape_zyx=(32, 32, 32)),
        training_range=TrainingRange(
            spacing_mm_zyx=((4.0, 2.5, 2.5), (4.0, 2.5, 2.5)), extent_mm_zyx=((50.0, 50.0, 50.0), _MOST_MM)
        ),
    )
    return ModelPackage(network=network, model=model, lineage=Lineage(seed=0), sha256="")


def write_bright_package(folder: Path, *, cohort_source: str = "") -> None:
    """And a `params.yaml` beside it, without which its network is not at hand."""
    package = bright_model()
    model = replace(package.model, cohort_source=cohort_source)
    write_package(folder, package.network, model=model, lineage=package.lineage)
    (folder.parent / "params.yaml").write_text("network: {name: 'bright_network:Bright'}\n")


def leg() -> MaskVolume:
    """A whole right femur."""
    femur = _leg().femur
    return replace(femur, femur_zyx=femur.femur_zyx.copy())


def leg_with_spur(
    radius_mm: float, towards_xyz: tuple[float, float, float] = (0.0, 0.0, 1.0), *, out_mm: float | None = None
) -> MaskVolume:
    """The same, with a ball of other bone on its head, which sticks out of it by one and a half radii or by so much."""
    study = _leg()
    mask, head_mm = study.femur, study.patient.head_radius_mm
    towards = np.array(towards_xyz) / np.linalg.norm(towards_xyz)
    out_mm = 1.5 * radius_mm if out_mm is None else out_mm
    middle = towards * (head_mm - radius_mm + out_mm) - [study.patient.hip_half_distance_mm, 0.0, 0.0]
    places = mask.grid.positions_mm_xyz(np.argwhere(np.ones(mask.grid.shape_zyx, np.bool_)))
    ball = np.linalg.norm(places - middle, axis=1).reshape(mask.grid.shape_zyx) < radius_mm
    return replace(mask, femur_zyx=mask.femur_zyx | ball)


@functools.cache
def _leg() -> PhantomStudy:
    settings = PhantomSettings(spacing_mm_zyx=(4.0, 2.5, 2.5), patients=8, cut_off_fraction=0.0)
    return phantom_study(settings, 3)


def bright_ct(mask: MaskVolume, *, seed: int = 0) -> CtVolume:
    """Water with a little noise, in air, and what is femur at 1000 HU, 750 HU from 6 mm below its surface on."""
    hu_zyx: NDArray[np.float32] = np.random.default_rng(seed).normal(0.0, 15.0, mask.grid.shape_zyx).astype(np.float32)
    hu_zyx[:, :3] = hu_zyx[:, -3:] = -1000.0
    hu_zyx[mask.femur_zyx] += 1000.0
    hu_zyx[ndimage.distance_transform_edt(mask.femur_zyx, sampling=mask.grid.spacing_mm_zyx) > 6.0] -= 250.0
    return CtVolume(hu_zyx=np.round(hu_zyx), grid=mask.grid)
