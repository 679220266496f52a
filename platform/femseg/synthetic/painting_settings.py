"""The `painting:` section of params.yaml: between which bounds the look of a synthetic CT is drawn, anew each time."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from femseg.synthetic.settings import Range

_BOUNDS = {"hu": (-4096.0, 20_000.0), "mm": (0.0, 100.0)}  # by the end of a setting's name; any other: 0 … 4


def _refuse_unfit(settings: Any) -> None:
    """Raises: ValueError on bounds that do not ascend, or a value no CT has; a plain number is a share."""
    for name in (one.name for one in fields(settings)):
        value = getattr(settings, name)
        least, most = _BOUNDS.get(name.rpartition("_")[2], (0.0, 4.0))
        if isinstance(value, float) and not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: expected a share from 0 to 1, got {value}")
        if isinstance(value, tuple) and not (
            value and all(math.isfinite(v) and least <= v <= most for v in value) and list(value) == sorted(value)
        ):
            raise ValueError(f"{name}: expected ascending numbers from {least:g} to {most:g}, got {list(value)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueSettings:
    """CT numbers of all that is no bone; `<name>_hu` is that of `Tissue.<NAME>`.

    Attributes:
        contrast_hu: of arteries, veins, bowel and bladder where they hold contrast medium.
        contrast: how often each of these does.
        grain_hu: standard deviation within a tissue.
        fat_in_muscle: how much of a muscle is fat, in streaks.
        plaques: share of scans with calcified arteries.
        plaque_hu: of these.
    """

    air_hu: Range = (-1024.0, -970.0)
    clothes_hu: Range = (-950.0, -500.0)
    table_hu: Range = (-300.0, 250.0)
    mattress_hu: Range = (-1000.0, -850.0)
    skin_hu: Range = (-40.0, 60.0)
    fat_hu: Range = (-130.0, -60.0)
    muscle_hu: Range = (10.0, 90.0)
    artery_hu: Range = (20.0, 70.0)
    vein_hu: Range = (20.0, 70.0)
    gas_hu: Range = (-1000.0, -850.0)
    stool_hu: Range = (-150.0, 200.0)
    bowel_hu: Range = (0.0, 70.0)
    bladder_hu: Range = (-5.0, 30.0)
    organ_hu: Range = (20.0, 120.0)
    lung_hu: Range = (-950.0, -650.0)
    cartilage_hu: Range = (40.0, 130.0)
    metal_hu: Range = (1800.0, 8000.0)
    contrast_hu: Range = (80.0, 450.0)
    contrast: float = 0.35
    grain_hu: Range = (0.0, 15.0)
    fat_in_muscle: Range = (0.0, 0.5)
    plaques: float = 0.4
    plaque_hu: Range = (600.0, 1400.0)

    def __post_init__(self) -> None:
        _refuse_unfit(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoneSettings:
    """Cortex, marrow and spongiosa.

    Attributes:
        cortex_hu: of dense cortex.
        head_cortex_mm, neck_cortex_mm, shaft_cortex_mm, knee_cortex_mm: its thickness along the femur.
        frail: share of scans in which all cortex is thinner, as in the old, who break their hips.
        frail_cortex: how much is left of it there.
        plate_absent: share of heads without a plate below their cartilage.
        marrow_hu: in the shaft.
        head_hu, knee_hu: of spongiosa in the femur's head and condyles.
        band_hu: how much denser the compressive band of the neck is.
        ward: how much of its spongiosa Ward's triangle and the greater trochanter have lost, as a share.
        coarse_hu, coarse_mm: standard deviation and size of what spongiosa varies by.
        grain_hu, grain_mm: the same of single trabeculae.
        other_cortex: density of other bones' cortex, as a factor on the femur's.
        other_cortex_mm, other_spongiosa_hu: of the other bones.
        roof: how much thicker their cortex is towards a femur.
        others_absent: share of scans in which the femora are the only bones: what is no femur is told by itself, not
            by its neighbours, and a bone that ends in nothing is still a bone.
    """

    cortex_hu: Range = (700.0, 1900.0)
    head_cortex_mm: Range = (0.1, 1.5)
    plate_absent: float = 0.25
    neck_cortex_mm: Range = (0.5, 2.2)
    shaft_cortex_mm: Range = (3.0, 8.0)
    knee_cortex_mm: Range = (0.5, 1.5)
    frail: float = 0.4
    frail_cortex: Range = (0.35, 0.9)
    marrow_hu: Range = (-90.0, 180.0)
    head_hu: Range = (60.0, 600.0)
    knee_hu: Range = (80.0, 350.0)
    band_hu: Range = (0.0, 350.0)
    ward: Range = (0.2, 1.0)
    coarse_hu: Range = (0.0, 70.0)
    coarse_mm: Range = (5.0, 14.0)
    grain_hu: Range = (10.0, 60.0)
    grain_mm: Range = (1.0, 3.0)
    other_cortex: Range = (0.6, 1.0)
    other_cortex_mm: Range = (0.5, 2.2)
    other_spongiosa_hu: Range = (40.0, 330.0)
    roof: Range = (1.0, 2.5)
    others_absent: float = 0.1

    def __post_init__(self) -> None:
        _refuse_unfit(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerSettings:
    """What a scanner makes of a body.

    Attributes:
        blur_mm: standard deviation of the reconstruction's point spread.
        slice_mm: slice thickness.
        overshoot: at an edge within a slice, as a share of its height: 0 is a soft kernel.
        noise_hu, noise_mm: standard deviation of the noise, and of how far it is smeared.
        shading_hu: standard deviation of what varies over the whole field of view.
        offset_hu: of a whole scan.
        streaks_hu: standard deviation of the rays 10 mm from metal.
        shadow_hu: beside metal, where few photons arrive; it fades over `shadow_mm`.
        saturation_hu: the highest CT number there is.
        circle: share of scans that are shown in a circle alone.
        padding_hu: values beyond it, one of these.
    """

    blur_mm: Range = (0.3, 1.6)
    slice_mm: Range = (0.5, 5.0)
    overshoot: Range = (0.0, 0.25)
    noise_hu: Range = (5.0, 60.0)
    noise_mm: Range = (0.0, 2.0)
    shading_hu: Range = (0.0, 20.0)
    offset_hu: Range = (-30.0, 30.0)
    streaks_hu: Range = (0.0, 500.0)
    shadow_hu: Range = (-900.0, 100.0)
    shadow_mm: Range = (2.0, 6.0)
    saturation_hu: Range = (2000.0, 3071.0)
    circle: float = 0.12
    padding_hu: tuple[float, ...] = (-3024.0, -2000.0, -1024.0, 0.0)

    def __post_init__(self) -> None:
        _refuse_unfit(self)

    @property
    def spacing_mm_zyx(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Least and greatest voxel spacing of the scans that are drawn here: a pixel resolves what its blur leaves."""
        finest_mm, coarsest_mm = self.blur_mm[0], self.blur_mm[1] * 2 * math.sqrt(2 * math.log(2))  # to half maximum
        return (self.slice_mm[0], finest_mm, finest_mm), (self.slice_mm[1], coarsest_mm, coarsest_mm)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintingSettings:
    """How scenes are painted. Every range is drawn from evenly, once for a scan or a training sample.

    Source: Billot et al. 2023 (SynthSeg): what a network is to stand, it must have seen vary more than it ever will.
    """

    tissues: TissueSettings = field(default_factory=TissueSettings)
    bones: BoneSettings = field(default_factory=BoneSettings)
    scanner: ScannerSettings = field(default_factory=ScannerSettings)
