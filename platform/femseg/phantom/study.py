"""One phantom case, whole: CT, exact femur mask, and the facts a radiographer would know."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.case import CaseFacts
from femseg.files.durable import sha256_of_json
from femseg.phantom.acquisition import Acquisition, draw_acquisition
from femseg.phantom.anatomy import Anatomy, air, painted_leg
from femseg.phantom.patient import PhantomPatient, Side, draw_patient
from femseg.phantom.scanner import scanned
from femseg.phantom.settings import PhantomSettings
from femseg.phantom.texture import Texture
from femseg.settings import as_plain
from femseg.volumes.grid import CtVolume, MaskVolume

_TISSUE_STREAM, _SCANNER_STREAM = 2, 3
_METAL_FROM_HU = 2500.0
_LONGEST_SCAN_MM = 600.0
_BYTES_PER_VOXEL = 24  # six volumes in float32


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomStudy:
    """One synthetic case.

    Attributes:
        patient_id: of nobody; readable, unique in the cohort.
        fingerprint: SHA-256 over all that the voxels come from (settings without the cohort's size, index).
        ct: HU in whole numbers.
        femur: voxels whose centre lies inside of the femur, marrow included.
        facts: side, sex, age, ends cut off, metal and volume as measured on the voxels.
        patient: the anatomy behind it.
    """

    patient_id: str
    fingerprint: str
    ct: CtVolume
    femur: MaskVolume
    facts: CaseFacts
    patient: PhantomPatient


def phantom_study(settings: PhantomSettings, index: int) -> PhantomStudy:
    """Case number `index`: a pure function of the settings (except the cohort's size) and the index.

    Raises: ValueError if the cohort has no such case.
    """
    if not 0 <= index < settings.patients:
        raise ValueError(
            f"index: expected 0 to {settings.patients - 1} in a cohort of {settings.patients}, got {index}"
        )
    patient = draw_patient(settings.seed, index)
    acquisition = draw_acquisition(settings, index, patient)
    anatomy = _anatomy(settings, index, patient, acquisition)
    scanner_rng = np.random.default_rng((settings.seed, index, _SCANNER_STREAM))
    hu_zyx = scanned(anatomy, acquisition, settings.noise_hu, scanner_rng)
    voxel_ml = acquisition.grid.voxel_volume_mm3 / 1000.0
    return PhantomStudy(
        patient_id=f"PHANTOM-{settings.seed}-{index:04d}",
        fingerprint=sha256_of_json([_identity(settings), index]),
        ct=CtVolume(hu_zyx=hu_zyx, grid=acquisition.grid),
        femur=MaskVolume(femur_zyx=anatomy.femur_zyx, grid=acquisition.grid),
        facts=CaseFacts(
            side="both" if settings.legs == "both" else patient.side,
            sex=patient.sex,
            age_years=patient.age_years,
            metal_ml=round(int(np.count_nonzero(hu_zyx > _METAL_FROM_HU)) * voxel_ml, 3),
            cut_off=_ends_cut_off(anatomy.femur_zyx),
            femur_ml=round(int(np.count_nonzero(anatomy.femur_zyx)) * voxel_ml, 3),
        ),
        patient=patient,
    )


def phantom_bytes(settings: PhantomSettings) -> int:
    """Memory that making one takes at most, the libraries included."""
    dz, dy, dx = settings.spacing_mm_zyx
    widths = 2 if settings.legs == "both" else 1
    voxels = _LONGEST_SCAN_MM / dz * settings.field_of_view_mm / dy * widths * settings.field_of_view_mm / dx
    return int(_BYTES_PER_VOXEL * voxels) + 300 * 2**20


def _identity(settings: PhantomSettings) -> dict[str, Any]:
    """The settings but for the cohort's size; one that came later is left out where it changes nothing, so that the
    phantoms of before keep their case ids, and with these their part of the split.
    """
    plain: dict[str, Any] = as_plain(replace(settings, patients=3))
    if settings.scans == "leg":
        del plain["scans"]
    return plain


def _anatomy(settings: PhantomSettings, index: int, patient: PhantomPatient, acquisition: Acquisition) -> Anatomy:
    rng = np.random.default_rng((settings.seed, index, _TISSUE_STREAM))
    texture = Texture.drawn(rng, acquisition.grid)

    grid, anatomy = acquisition.grid, air(acquisition.grid)
    x = grid.origin_mm_xyz[0] + grid.spacing_mm_zyx[2] * np.arange(grid.shape_zyx[2])
    middle = int(np.count_nonzero(x <= 0.0))  # +x is the patient's left
    columns = {"left": slice(middle, None), "right": slice(0, middle)}
    other: Side = "right" if patient.side == "left" else "left"
    for side in (patient.side, other) if settings.legs == "both" else (patient.side,):
        painted_leg(
            patient,
            side,
            grid,
            table_mm=acquisition.table_mm,
            with_nail=acquisition.nail and side == patient.side,
            texture=texture,
            rng=rng,
            into=anatomy,
            columns=columns[side] if settings.legs == "both" else slice(None),
        )
    return anatomy


def _ends_cut_off(femur_zyx: NDArray[np.bool_]) -> tuple[Literal["superior", "inferior"], ...]:
    ends: list[Literal["superior", "inferior"]] = []
    if femur_zyx[-1].any():
        ends.append("superior")
    if femur_zyx[0].any():
        ends.append("inferior")
    return tuple(ends)
