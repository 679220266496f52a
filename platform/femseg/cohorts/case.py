"""One case of a cohort: which files, on which grid, and what is known about it."""

import contextlib
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from femseg.errors import Refusal
from femseg.files.durable import written_durably
from femseg.formats.source import HashedFile, Source
from femseg.volumes.grid import VoxelGrid

# Manufacturers by a word of their name; then the families of their CT and PET/CT scanners. A header's own text never
# leaves the header: it may hold a hospital's or a person's name.
_MAKERS = {
    "siemens": ("Siemens", ("SOMATOM", "NAEOTOM", "Biograph", "Sensation", "Emotion", "Definition")),
    "ge": ("GE", ("LightSpeed", "BrightSpeed", "Revolution", "Discovery", "Optima", "HiSpeed")),
    "philips": ("Philips", ("Brilliance", "Ingenuity", "iCT", "IQon", "Incisive", "Gemini", "MX")),
    "toshiba": ("Canon", ("Aquilion", "Asteion", "Activion")),
    "canon": ("Canon", ("Aquilion", "Lightning", "Prime")),
    "hitachi": ("Hitachi", ("Scenaria", "Supria", "Eclos")),
    "fujifilm": ("Fujifilm", ("Scenaria", "Supria", "FCT")),
    "uih": ("United Imaging", ("uCT", "uMI")),
    "united": ("United Imaging", ("uCT", "uMI")),
    "neusoft": ("Neusoft", ("NeuViz",)),
}


def scanner_family(manufacturer: str, model: str) -> str | None:
    """ "Siemens SOMATOM" of what a DICOM header says; the maker alone if the model is not known, else None.

    Args:
        manufacturer, model: Manufacturer and ManufacturerModelName as they stand in the header; may be empty.
    """
    words = re.findall(r"[a-z]+", manufacturer.lower())
    known = next((_MAKERS[word] for word in words if word in _MAKERS), None)
    if known is None:
        return None
    maker, families = known
    family = next((name for name in families if re.search(rf"\b{name}", model, re.IGNORECASE)), None)
    return f"{maker} {family}" if family else maker


SCANNERS = frozenset(maker for maker, _ in _MAKERS.values()) | frozenset(
    f"{maker} {family}" for maker, families in _MAKERS.values() for family in families
)


__all__ = ["Case", "CaseFacts", "Femur", "HashedFile", "Source"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
Femur = Literal["all", "left", "right"]
Part = Literal["train", "validation", "test"]


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
        part: where a split that was given puts the case; "" where there is none.
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
    part: Part | Literal[""] = ""

    def __post_init__(self) -> None:
        for name in ("case_id", "patient_id"):
            if not _ID.fullmatch(getattr(self, name)):
                raise ValueError(f"{name}: expected letters, digits, '-' and '_', got {getattr(self, name)!r}")


# Names that say nothing: case and patient ids as keyed hashes.
#
# Without the key, an id cannot be turned back by trying every short PatientID (FAULTS, SC-12); a bare hash can.


KEY_BYTES_AT_LEAST = 32


def keyed_hash(value: str, *, key: bytes, purpose: str) -> str:
    """12 hex digits of HMAC-SHA256; the same value has another hash for each purpose."""
    return hmac.new(key, f"{purpose}\0{value}".encode(), hashlib.sha256).hexdigest()[:12]


def case_id(study: str, *, key: bytes) -> str:
    """Id of a study, from what names it uniquely (DICOM UIDs or its place in the cohort's folder)."""
    return f"case-{keyed_hash(study, key=key, purpose='case')}"


def patient_id(patient: str, *, key: bytes) -> str:
    """Id of a patient; every study of one patient has the same."""
    return f"patient-{keyed_hash(patient, key=key, purpose='patient')}"


def cohort_key(path: Path = Path(".femseg/case-ids.key")) -> bytes:
    """The secret that this repository's case ids are made with; made on first use, readable by its owner alone.

    Whoever shares arrays without this file shares no way back to a patient; who loses it gets new ids next time.

    Raises: Refusal (exit 4) if the key is too short to be a secret.
    """
    if not path.exists():
        with contextlib.suppress(OSError):  # what hinders it is said by the writing
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written_durably(path, keep_earlier=True, mode=0o600) as temporary:
            temporary.write_bytes(secrets.token_hex(32).encode())
    key = path.read_bytes()
    if len(key) < KEY_BYTES_AT_LEAST:
        problem = f"holds {len(key)} bytes; a key of case ids has {KEY_BYTES_AT_LEAST} or more"
        fix = "put back your copy of the key; if there is none, remove the file (all case ids will change)"
        raise Refusal.of("SC-12", path, problem, fix)
    return key
