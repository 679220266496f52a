"""What each value of the sheet means: its definition by name, its unit, and how far off it may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["mm", "°", "%", "1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One value of the sheet.

    Attributes:
        title: what a person calls it.
        unit: "1" for a ratio.
        words: how it is defined, with the source of the definition.
        off_at_1mm: 95 of 100 phantoms at voxels of 1 mm were nearer to their anatomy than this; it grows as the longest
            edge of a voxel does. It says nothing of a mask that is wrong.
    """

    title: str
    unit: Unit
    words: str
    off_at_1mm: float
    needs_ct: bool = False


def _canal(where: str, off: float) -> Definition:
    words = f"circle of the area within the cortex's inner half-maximum edges, square to the shaft, {where}"
    return Definition(title=f"Canal, {where}", unit="mm", words=words, off_at_1mm=off, needs_ct=True)


def _cortex(where: str, off: float) -> Definition:
    words = f"median distance of the cortex's half-maximum edges over all directions square to the shaft, {where}"
    return Definition(title=f"Cortex, {where}", unit="mm", words=words, off_at_1mm=off, needs_ct=True)


LEVELS_MM: Mapping[str, float] = {"above_20": 20.0, "at_trochanter": 0.0, "below_20": -20.0, "below_60": -60.0}
_WHERE = {
    "above_20": "20 mm above the lesser trochanter",
    "at_trochanter": "at the lesser trochanter",
    "below_20": "20 mm below it",
    "below_60": "60 mm below it",
    "isthmus": "at the isthmus",
}

_CANAL_OFF = {"above_20": 5.0, "at_trochanter": 1.0, "below_20": 0.6, "below_60": 0.4, "isthmus": 0.4}
_CORTEX_OFF = {"above_20": 2.0, "at_trochanter": 1.0, "below_20": 0.6, "below_60": 0.3, "isthmus": 0.3}

DEFINITIONS: Mapping[str, Definition] = {
    "length_seen": Definition(
        title="Length seen",
        unit="%",
        words="an end is missing: of 9.5 head diameters or 5.5 epicondylar widths",
        off_at_1mm=1.0,
    ),
    "head_diameter": Definition(
        title="Head diameter",
        unit="mm",
        words="least-squares sphere on the head's surface without neck and fovea",
        off_at_1mm=0.5,
    ),
    "head_residual": Definition(
        title="Head, fit residual", unit="mm", words="root mean square distance from the sphere", off_at_1mm=0.2
    ),
    "neck_shaft_angle": Definition(
        title="Neck-shaft angle",
        unit="°",
        words="in space: neck axis (head centre to the centre of the neck's section of least area) and proximal "
        "shaft axis (shaft's centres 20 to 80 mm below the lesser trochanter)",
        off_at_1mm=1.5,
    ),
    "version": Definition(
        title="Version",
        unit="°",
        words="neck axis to posterior condylar line (retrocondylar table-top plane), seen along the anatomical "
        "axis; forward is positive",
        off_at_1mm=1.5,
    ),
    "version_lee": Definition(
        title="Version (Lee)",
        unit="°",
        words="2006: neck's middle in the uppermost section square to the shaft that joins neck and greater trochanter",
        off_at_1mm=3.0,
    ),
    "version_reikeras": Definition(
        title="Version (Reikerås)",
        unit="°",
        words="1983: middle of the neck's front and back in a section square to the shaft, where narrowest",
        off_at_1mm=2.0,
    ),
    "version_murphy": Definition(
        title="Version (Murphy)",
        unit="°",
        words="1987: centre of the section just above the lesser trochanter",
        off_at_1mm=2.0,
    ),
    "mechanical_length": Definition(
        title="Mechanical length",
        unit="mm",
        words="head centre to knee centre (middle of the transepicondylar line; ISB, Wu 2002)",
        off_at_1mm=1.0,
    ),
    "bicondylar_length": Definition(
        title="Bicondylar length",
        unit="mm",
        words="head's top to the plane that touches both condyles from below, square to the coronal plane (Martin 2)",
        off_at_1mm=1.0,
    ),
    "trochanteric_length": Definition(
        title="Trochanteric length",
        unit="mm",
        words="greater trochanter's top to that plane (Martin 4)",
        off_at_1mm=1.0,
    ),
    "axes_angle": Definition(
        title="Mechanical to anatomical axis",
        unit="°",
        words="in the coronal plane (through the mechanical axis, parallel to the posterior condylar line); "
        "anatomical axis: shaft's centres from 20 mm below the lesser trochanter to a quarter of the length "
        "above the knee (AMA, Paley)",
        off_at_1mm=0.5,
    ),
    "mldfa": Definition(
        title="mLDFA",
        unit="°",
        words="mechanical axis to distal condylar line, lateral, in the coronal plane (Paley)",
        off_at_1mm=1.0,
    ),
    "aldfa": Definition(title="aLDFA", unit="°", words="the same of the anatomical axis (Paley)", off_at_1mm=1.0),
    "femoral_offset": Definition(
        title="Femoral offset", unit="mm", words="head centre to proximal shaft axis", off_at_1mm=1.0
    ),
    "epicondylar_width": Definition(
        title="Epicondylar width", unit="mm", words="along the posterior condylar line (Martin 21)", off_at_1mm=1.0
    ),
    "bicondylar_width": Definition(
        title="Bicondylar width",
        unit="mm",
        words="condyles behind the middle between transepicondylar and posterior condylar line",
        off_at_1mm=1.0,
    ),
    "medial_depth": Definition(
        title="Medial condyle, depth",
        unit="mm",
        words="front to back, square to posterior condylar line and distal shaft (Martin 24)",
        off_at_1mm=1.0,
    ),
    "lateral_depth": Definition(
        title="Lateral condyle, depth", unit="mm", words="the same (Martin 23)", off_at_1mm=1.0
    ),
    "condylar_angle": Definition(
        title="Posterior condylar angle",
        unit="°",
        words="transepicondylar to posterior condylar line; outward is positive",
        off_at_1mm=1.5,
    ),
    "bow_radius": Definition(
        title="Bow radius",
        unit="mm",
        words="circle through the anatomical axis's centres, in the sagittal plane",
        off_at_1mm=300.0,
    ),
    "isthmus_level": Definition(
        title="Isthmus below the lesser trochanter",
        unit="mm",
        words="where the canal is narrowest",
        off_at_1mm=10.0,
        needs_ct=True,
    ),
    "canal_flare_index": Definition(
        title="Canal flare index",
        unit="1",
        words="canal's width 20 mm above the lesser trochanter over that at the isthmus (Noble 1988)",
        off_at_1mm=0.6,
        needs_ct=True,
    ),
    **{f"canal_{level}": _canal(where, _CANAL_OFF[level]) for level, where in _WHERE.items()},
    **{f"cortex_{level}": _cortex(where, _CORTEX_OFF[level]) for level, where in _WHERE.items()},
}
