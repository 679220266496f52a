"""From what lies where to Hounsfield units: one random look of a scene, the same for the same generator."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femseg.synthetic.noise import Shape, Voxels, smooth_noise, white_noise
from femseg.synthetic.painting_settings import BoneSettings, PaintingSettings, TissueSettings
from femseg.synthetic.scanner import Scanner, drawn, field_of_view
from femseg.synthetic.scene import ALONG, BONE_MM, CHANNELS, FEMUR_MM, NEUTRAL, STEP_MM, TISSUE, TRABECULAE, Tissue
from femseg.volumes.grid import Triple

Fields = NDArray[Any] | Sequence[NDArray[Any]]
SOFT = tuple(tissue for tissue in Tissue if f"{tissue.name.lower()}_hu" in TissueSettings.__slots__)
_WITH_CONTRAST = (Tissue.ARTERY, Tissue.VEIN, Tissue.BOWEL, Tissue.BLADDER)
_MUSCLE_MM, _PLAQUE_MM = (6.0, 20.0), 4.0
_FIBRES = 3.0  # how much longer than wide fat in a muscle lies, along the body
_ROOF_MM = 14.0  # from a femur, within which other bones' cortex is thicker
_PLAQUE_FROM = 1.2  # deviations of noise: a ninth of an artery's voxels


def painted(
    fields_czyx: Fields, spacing_mm_zyx: Triple, settings: PaintingSettings, generator: np.random.Generator
) -> Voxels:
    """Paint a scene, or any box of one.

    Args:
        fields_czyx: as `Scene.fields_czyx`, shape (5, Z, Y, X), or these five one by one; distances may be fractions of
            a code.
        spacing_mm_zyx: of the voxels.
        generator: decides all that is drawn.
    Returns: HU as a scanner gives them, whole numbers, shape (Z, Y, X).
    Raises: ValueError if there are not five fields.
    """
    if len(fields_czyx) != len(CHANNELS) or fields_czyx[TISSUE].ndim != 3:
        raise ValueError(f"fields: expected shape (5, Z, Y, X), got {np.shape(fields_czyx)}")
    tissue_zyx = fields_czyx[TISSUE].astype(np.uint8, copy=False)
    scanner = Scanner.of(settings.scanner, generator)
    hu_zyx = _soft_tissue(tissue_zyx, spacing_mm_zyx, settings.tissues, generator)
    _paint_bones(hu_zyx, fields_czyx, spacing_mm_zyx, settings.bones, generator)
    metal_zyx = tissue_zyx == Tissue.METAL
    metal_hu = drawn(settings.tissues.metal_hu, generator)
    hu_zyx[metal_zyx] = metal_hu
    return scanner.scanned(hu_zyx, metal_zyx, spacing_mm_zyx, generator)


def painted_scan(
    fields_czyx: Fields,
    femur_zyx: NDArray[np.bool_],
    spacing_mm_zyx: Triple,
    settings: PaintingSettings,
    generator: np.random.Generator,
) -> tuple[Voxels, NDArray[np.bool_]]:
    """The same with the edge of what the scanner shows: HU, and the femur as far as it is shown."""
    hu_zyx = painted(fields_czyx, spacing_mm_zyx, settings, generator)
    view = field_of_view(hu_zyx.shape, settings.scanner, generator)
    if view is None:
        return hu_zyx, femur_zyx
    shown_yx, padding_hu = view
    hu_zyx[:, ~shown_yx] = padding_hu
    return hu_zyx, femur_zyx & shown_yx


def _soft_tissue(
    tissue_zyx: NDArray[np.uint8], spacing_mm_zyx: Triple, settings: TissueSettings, generator: np.random.Generator
) -> Voxels:
    """HU of all voxels but for bone, whose own are those of the muscle about it."""
    shape_zyx: Shape = tissue_zyx.shape
    table = np.zeros(256, np.float32)
    for tissue in SOFT:
        table[tissue] = drawn(getattr(settings, f"{tissue.name.lower()}_hu"), generator)
    for tissue in _WITH_CONTRAST:
        share, contrast_hu = generator.random(), drawn(settings.contrast_hu, generator)
        table[tissue] = contrast_hu if share < settings.contrast else table[tissue]
    table[Tissue.FEMUR : Tissue.HAND + 1] = table[Tissue.MUSCLE]
    hu_zyx: Voxels = table.take(tissue_zyx)
    fatty, size_mm = drawn(settings.fat_in_muscle, generator), drawn(_MUSCLE_MM, generator)
    dz, dy, dx = spacing_mm_zyx
    fibres = smooth_noise(shape_zyx, (dz / _FIBRES, dy, dx), size_mm, generator)
    fibres += np.float32(2.0 * fatty - 1.5)
    np.clip(fibres, 0.0, 1.0, out=fibres)
    fat = np.zeros(256, np.float32)
    fat[Tissue.MUSCLE] = table[Tissue.FAT] - table[Tissue.MUSCLE]
    fibres *= fat.take(tissue_zyx)
    hu_zyx += fibres
    grain = white_noise(shape_zyx, generator)
    grain *= np.float32(drawn(settings.grain_hu, generator))
    hu_zyx += grain
    _paint_plaques(hu_zyx, tissue_zyx, spacing_mm_zyx, settings, generator)
    return hu_zyx


def _paint_plaques(
    hu_zyx: Voxels,
    tissue_zyx: NDArray[np.uint8],
    spacing_mm_zyx: Triple,
    settings: TissueSettings,
    generator: np.random.Generator,
) -> None:
    share, plaque_hu = generator.random(), drawn(settings.plaque_hu, generator)
    artery_zyx = tissue_zyx == Tissue.ARTERY
    if share < settings.plaques and artery_zyx.any():
        dense = smooth_noise(hu_zyx.shape, spacing_mm_zyx, _PLAQUE_MM, generator) > _PLAQUE_FROM
        hu_zyx[artery_zyx & dense] = plaque_hu


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bones:
    """The bones of one scan as numbers; fields as in `BoneSettings`, and tables by `along`."""

    numbers: dict[str, float]
    cortex_mm: Voxels
    inner_hu: Voxels
    alone: bool  # no bones but femora

    @classmethod
    def drawn(cls, settings: BoneSettings, generator: np.random.Generator) -> "_Bones":
        """Draw them."""
        n = {
            one.name: drawn(getattr(settings, one.name), generator)
            for one in fields(settings)
            if one.name not in ("plate_absent", "others_absent", "frail")
        }
        if generator.random() < settings.plate_absent:
            n["head_cortex_mm"] = 0.0
        if generator.random() < settings.frail:
            for part in ("head", "neck", "shaft", "knee", "other"):
                n[f"{part}_cortex_mm"] *= n["frail_cortex"]
        alone = bool(generator.random() < settings.others_absent)
        shaft, knee, neck, head = (n[f"{part}_cortex_mm"] for part in ("shaft", "knee", "neck", "head"))
        along = np.arange(256) / 255
        cortex_mm = np.interp(
            along,
            [0.0, 0.1, 0.22, 0.4, 0.6, 0.78, 0.88, 1.0],
            [knee, 1.2 * knee, 0.45 * shaft, 0.85 * shaft, shaft, 0.75 * shaft, neck, head],
        )
        marrow, head_hu, knee_hu = n["marrow_hu"], n["head_hu"], n["knee_hu"]
        inner_hu = np.interp(
            along,
            [0.0, 0.12, 0.3, 0.75, 0.88, 0.94, 1.0],
            [knee_hu, 0.6 * knee_hu, marrow, marrow, 0.5 * (marrow + head_hu), head_hu, head_hu],
        )
        return cls(numbers=n, cortex_mm=cortex_mm.astype(np.float32), inner_hu=inner_hu.astype(np.float32), alone=alone)


def _paint_bones(
    hu_zyx: Voxels, fields_czyx: Fields, spacing_mm_zyx: Triple, settings: BoneSettings, generator: np.random.Generator
) -> None:
    """Other bones, then the femora, over what is there; of a voxel at a surface, as much as lies inside."""
    bones = _Bones.drawn(settings, generator)
    n, edge_mm, flat_hu = bones.numbers, float(np.cbrt(np.prod(spacing_mm_zyx))), hu_zyx.reshape(-1)
    coarse, grain = (
        smooth_noise(hu_zyx.shape, spacing_mm_zyx, n[f"{kind}_mm"], generator).reshape(-1)
        for kind in ("coarse", "grain")
    )
    femur, bone, along, trabeculae = (
        fields_czyx[channel].reshape(-1) for channel in (FEMUR_MM, BONE_MM, ALONG, TRABECULAE)
    )
    beyond = NEUTRAL - 0.5 - 0.5 * edge_mm / STEP_MM  # the code of voxels that just hold no bone

    def texture(where: NDArray[np.intp]) -> Voxels:
        varying: Voxels = np.float32(n["coarse_hu"]) * coarse[where] + np.float32(n["grain_hu"]) * grain[where]
        return varying

    where = np.flatnonzero(bone > beyond) if not bones.alone else np.empty(0, np.intp)
    nearness = np.clip((_mm(femur[where]) + _ROOF_MM) / 5.0, 0.0, 1.0)
    thickness = n["other_cortex_mm"] * (1.0 + (n["roof"] - 1.0) * nearness)
    inner = n["other_spongiosa_hu"] + texture(where)
    _blend(flat_hu, where, _mm(bone[where]), thickness, inner, n["cortex_hu"] * n["other_cortex"], edge_mm)

    where = np.flatnonzero(femur > beyond)
    place = along[where].astype(np.uint8)
    density = (trabeculae[where].astype(np.float32) - NEUTRAL) / np.float32(127)
    inner = bones.inner_hu.take(place)
    inner += np.minimum(density, 0) * np.float32(n["ward"]) * np.maximum(inner - np.float32(n["marrow_hu"]), 0)
    inner += np.maximum(density, 0) * np.float32(n["band_hu"]) + texture(where)
    _blend(flat_hu, where, _mm(femur[where]), bones.cortex_mm.take(place), inner, n["cortex_hu"], edge_mm)


def _mm(codes: NDArray[Any]) -> Voxels:
    """As `distances_mm`, of fractions of a code too."""
    return (codes.astype(np.float32) - np.float32(NEUTRAL - 0.5)) * np.float32(STEP_MM)


def _blend(
    flat_hu: Voxels,
    where: NDArray[np.intp],
    inside_mm: Voxels,
    cortex_mm: Voxels,
    inner_hu: Voxels,
    cortex_hu: float,
    edge_mm: float,
) -> None:
    """Paint these voxels with the shares of bone and of its inside that a surface at this distance leaves them."""
    bone = np.clip(0.5 + inside_mm / np.float32(edge_mm), 0.0, 1.0)
    inside = np.clip(0.5 + (inside_mm - cortex_mm) / np.float32(edge_mm), 0.0, 1.0)
    around = flat_hu[where]
    flat_hu[where] = around + bone * (np.float32(cortex_hu) - around) + inside * (inner_hu - np.float32(cortex_hu))
