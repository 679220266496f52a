"""How one patient is scanned: where the field of view lies, how the scanner behaves this time."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from femseg.phantom.patient import PhantomPatient
from femseg.phantom.settings import PhantomSettings
from femseg.volumes.grid import VoxelGrid

_ACQUISITION_STREAM = 1
_GOLDEN, _PLASTIC = 0.6180339887498949, 0.7548776662466927


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """One scan.

    Attributes:
        grid: LPS-aligned; its origin is the middle between the two femoral heads.
        lost_end: the end of the femur that the field of view cuts off, if any.
        nail: whether the femur carries an intramedullary nail.
        table_mm: how far behind the heads the table's surface lies.
        blur, noise, shading: this scan's departure from the average scanner, about 1.
    """

    grid: VoxelGrid
    lost_end: Literal["superior", "inferior"] | None
    nail: bool
    table_mm: float
    blur: float
    noise: float
    shading: float


def draw_acquisition(settings: PhantomSettings, index: int, patient: PhantomPatient) -> Acquisition:
    """The scan of patient number `index`."""
    rng = np.random.default_rng((settings.seed, index, _ACQUISITION_STREAM))
    jitter_x, jitter_y, below, above, lost_share = rng.uniform(
        (-8.0, -6.0, 28.0, 22.0, 0.08), (8.0, 6.0, 52.0, 44.0, 0.28)
    ).tolist()
    blur, noise, shading = rng.uniform((0.85, 0.8, 0.7), (1.2, 1.3, 1.3)).tolist()
    table_mm = float(rng.uniform(92.0, 102.0)) * patient.girth
    lost_end: Literal["superior", "inferior"] | None = "superior" if rng.random() < 0.5 else "inferior"
    if not _chosen(index, settings.seed, settings.cut_off_fraction, _GOLDEN):
        lost_end = None
    low = patient.head_radius_mm - patient.femur_length_mm
    high = patient.head_radius_mm
    lost_mm = lost_share * patient.femur_length_mm
    shown = ("leg", "hip", "knee")[index % 3] if settings.scans == "varied" else "leg"
    if shown != "leg":  # 30 to 50 % of the femur
        lost_end, lost_mm = "inferior" if shown == "hip" else "superior", (0.42 + lost_share) * patient.femur_length_mm
    return Acquisition(
        grid=_grid(
            settings,
            patient,
            centre_xy=(jitter_x, 10.0 + jitter_y),
            low=low + lost_mm if lost_end == "inferior" else low - below,
            high=high - lost_mm if lost_end == "superior" else high + above,
        ),
        lost_end=lost_end,
        nail=_chosen(index, settings.seed, settings.implant_fraction, _PLASTIC),
        table_mm=table_mm,
        blur=blur,
        noise=noise,
        shading=shading,
    )


def _chosen(index: int, seed: int, fraction: float, step: float) -> bool:
    """True for close to the given fraction of any run of indices (a Weyl sequence), whoever else is in the cohort."""
    start = (seed * step) % 1.0
    return (start + index * step) % 1.0 < fraction


def _grid(
    settings: PhantomSettings, patient: PhantomPatient, *, centre_xy: tuple[float, float], low: float, high: float
) -> VoxelGrid:
    dz, dy, dx = settings.spacing_mm_zyx
    width = settings.field_of_view_mm * (2 if settings.legs == "both" else 1)
    shape = (round((high - low) / dz), round(settings.field_of_view_mm / dy), round(width / dx))
    outward = 1.0 if patient.side == "left" else -1.0
    middle_x = centre_xy[0]
    if settings.legs == "one":
        middle_x = outward * (patient.hip_half_distance_mm + 18.0 + centre_xy[0])
    origin = (middle_x - (shape[2] - 1) / 2 * dx, centre_xy[1] - (shape[1] - 1) / 2 * dy, low)
    rounded = tuple(round(2.0 * value) / 2.0 for value in origin)  # exact in binary and in a decimal string
    return VoxelGrid(shape_zyx=shape, spacing_mm_zyx=(dz, dy, dx), origin_mm_xyz=rounded)  # type: ignore[arg-type]
