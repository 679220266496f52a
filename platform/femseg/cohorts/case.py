"""One case of a cohort: which files, on which grid, and what is known about it."""

import re
from dataclasses import dataclass
from typing import Literal

from femseg.cohorts.scanners import SCANNERS
from femseg.volumes.files.source import HashedFile, Source
from femseg.volumes.grid import VoxelGrid

__all__ = ["Case", "CaseFacts", "Femur", "HashedFile", "Source"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
Femur = Literal["all", "left", "right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """What is known about a case besides its voxels; None where nobody said.

    Attributes:
        side: side of the body that the femur mask shows.
        metal_ml: volume above 2500 HU.
        scanner: maker and family of the CT scanner, such as "Siemens SOMATOM"; see scanners.py.
        cut_off: ends of the body axis at which the femur mask leaves the field of view.
    """

    side: Literal["left", "right", "both"] | None = None
    sex: Literal["F", "M", "O"] | None = None
    age_years: int | None = None
    metal_ml: float = 0.0
    cut_off: tuple[Literal["superior", "inferior"], ...] = ()
    femur_ml: float | None = None
    scanner: str | None = None

    def __post_init__(self) -> None:
        if self.scanner is not None and self.scanner not in SCANNERS:
            raise ValueError("scanner: expected a maker and family that scanners.py knows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A checked study: a CT, its femur mask (None for inference), geometry, facts, and what intake remarked or mended.

    Attributes:
        case_id: keyed hash of the study, such as "case-3f9a1c07b2de"; never a name.
        patient_id: keyed hash of the patient; the split is by this.
        grid: the CT's own grid as read.
        femur: which femur of the scan the mask stands for.
        side_by_place: the mask's values do not tell that femur from the other; where it lies does.
        remarks: warnings and mends of intake, each starting with its matrix id.
    """

    case_id: str
    patient_id: str
    ct: Source
    mask: Source | None
    grid: VoxelGrid
    femur: Femur = "all"
    side_by_place: bool = False
    facts: CaseFacts = CaseFacts()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("case_id", "patient_id"):
            if not _ID.fullmatch(getattr(self, name)):
                raise ValueError(f"{name}: expected letters, digits, '-' and '_', got {getattr(self, name)!r}")
