"""The CT that a mask in DICOM refers to: whose it is, its images, where they lie; and what all such masks share."""

import errno
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, config
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import CTImageStorage
from pydicom.valuerep import DA, TM

from femseg.errors import Refusal
from femseg.files.durable import written_durably
from femseg.files.plain import name_fault
from femseg.formats.dicom.ct_planes import DRAWN_OF_STEP, CtPlanes
from femseg.formats.dicom.headers import OtherObject, SliceHeader, read_slice_header, uid_name, unreadable
from femseg.formats.dicom.multiframe import ENHANCED_CT, multiframe_stack, read_object
from femseg.formats.source import CheckedVolume, Source
from femseg.formats.writing import Structure
from femseg.volumes.grid import LabelVolume, VoxelGrid

SUFFIX = ".dcm"
MAKER, UTF_8 = "femseg", "ISO_IR 192"
IDENTITY = (  # of patient and study: each must stand in an object, empty perhaps (PS3.3 C.7.1.1, C.7.2.1)
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
_ALSO = (  # of patient and study, where they are there; and of the series
    *("IssuerOfPatientID", "PatientAge", "StudyDescription", "StudyInstanceUID"),
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "SliceThickness"),
)
_STRICT = {"DA": DA, "TM": TM}
_SEXES = ("M", "F", "O")
_IMAGES = (CTImageStorage, *ENHANCED_CT)
_NEEDED = {
    "sop_class": "SOPClassUID (0008,0016)",
    "instance_uid": "SOPInstanceUID (0008,0018)",
    "study_uid": "StudyInstanceUID (0020,000D)",
    "series_uid": "SeriesInstanceUID (0020,000E)",
    "frame_of_reference_uid": "FrameOfReferenceUID (0020,0052)",
}


class Image(NamedTuple):
    """What names the image of a slice: its UIDs, and its frame in an enhanced file, counted from 1; else 0."""

    sop_class: str
    instance_uid: str
    frame: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CtReference:
    """A CT in DICOM, without its pixels.

    Attributes:
        first: of its first object what says whose it is: patient, study and series.
        images: of each slice, in the order of the grid.
        orientation: direction of a row, then of a column, as the first slice's header says.
        planes: where the slices lie by their own headers, and whose they are.
    """

    first: Dataset = field(repr=False)
    images: tuple[Image, ...]
    orientation: tuple[float, ...]
    planes: CtPlanes


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBy:
    """What an object says of how it came to be.

    Attributes:
        package_sha256: of the model.
        verdict: whether the mask may be used, in one word; "" where nobody judged.
    """

    package_sha256: str
    verdict: str = ""

    @property
    def description(self) -> str:
        """What a list of series shows."""
        return f"Femur by femseg{self.verdict and f', verdict {self.verdict}'}, not reviewed"


def require_object_name(path: Path) -> None:
    """Raises: Refusal CFG-01 (exit 2) if a DICOM object is to have another suffix than .dcm, or an odd name."""
    if path.suffix != SUFFIX:
        problem = f"DICOM objects are written as {SUFFIX}, not as '{path.suffix}'"
        raise Refusal.of("CFG-01", path, problem, f"name it {path.stem or 'femur'}{SUFFIX}")
    if problem := name_fault(path):
        raise Refusal.of("CFG-01", path, problem, "choose another name")


def ct_reference(ct: Source, root: Path, grid: VoxelGrid, *, name: str) -> CtReference:
    """Read what a mask in DICOM refers to.

    Args:
        ct: a checked CT, its files relative to `root`.
        grid: the CT's.
        name: of the CT, for refusals.
    Raises: Refusal DC-01 (exit 3) if there is nothing to refer to; IN-14, IN-24, IN-26 if a file cannot be read.
    """
    leave_out = "leave out --dicom-seg and --rtstruct"
    if ct.kind not in ("dicom", "multiframe"):
        problem = "is a volume file, and a mask in DICOM refers to a series"
        raise Refusal.of("DC-01", name, problem, f"give the DICOM series, or {leave_out}")
    if ct.mends:
        problem = f"is resampled ({', '.join(ct.mends)}), and a mask in DICOM lies on the slices that were scanned"
        raise Refusal.of("DC-01", name, problem, f"{leave_out}: a volume file holds the new grid")
    headers = [_header(path) for path in ct.paths(root)]
    dataset = read_object(headers[0].path, header_bytes=headers[0].pixel_offset)
    is_series = ct.kind == "dicom"
    slices = headers if is_series else multiframe_stack(headers[0], pseudonym=lambda _: "")[1]
    _require_uids(slices, name, is_series=is_series)
    planes = CtPlanes.of(CheckedVolume(kind=ct.kind, paths=(), grid=grid), slices)
    if problem := _off_grid(planes):
        raise Refusal.of("DC-01", name, problem, f"{leave_out}, or reconstruct the CT with even slice spacing")
    return CtReference(
        first=_identity(dataset),
        images=tuple(
            Image(one.sop_class, one.instance_uid, 0 if is_series else int(one.path.name.rpartition("-")[2]))
            for one in slices
        ),
        orientation=slices[0].orientation or (),
        planes=planes,
    )


def _header(path: Path) -> SliceHeader:
    header = read_slice_header(path)
    if isinstance(header, OtherObject):
        raise unreadable(path, f"holds no image ({header.kind})")
    return header


def _identity(dataset: Dataset) -> Dataset:
    """Patient, study and series as they stand, and nothing else; what none could read, such as 30 February, empty."""
    kept = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword in (*IDENTITY, *_ALSO):
            try:
                element = dataset[keyword]
                value = _STRICT.get(element.VR, lambda value: value)(element.value) or ""
                if isinstance(value, MultiValue) or (keyword == "PatientSex" and value not in _SEXES):
                    raise ValueError(f"{keyword}: expected one value of the standard's")
                kept.add(DataElement(element.tag, element.VR, value, validation_mode=config.RAISE))
            except (KeyError, ValueError, TypeError, OverflowError):
                if keyword in IDENTITY:
                    setattr(kept, keyword, "")
    return kept


def _require_uids(slices: Sequence[SliceHeader], name: str, *, is_series: bool) -> None:
    fix = "export the series again with its full header"
    for attribute, tag in _NEEDED.items():
        if bare := sum(not getattr(header, attribute) for header in slices):
            raise Refusal.of("DC-01", name, f"{bare} of {len(slices)} slices have no {tag}", fix)
    if odd := {header.sop_class for header in slices} - {*_IMAGES}:
        raise Refusal.of("DC-01", name, f"is stored as {uid_name(min(odd))}, not as CT images", "export it as CT")
    if is_series and len({header.instance_uid for header in slices}) < len(slices):
        raise Refusal.of("DC-01", name, "several slices have one SOPInstanceUID (0008,0018)", fix)


def _off_grid(planes: CtPlanes) -> str:
    """The slice farthest from its place on the even grid, in words, if a mask drawn on it could be misread; else ""."""
    expected = np.zeros((len(planes.positions_mm_xyz), 3))
    expected[:, 0] = np.arange(len(expected))
    off_px = np.abs(planes.grid.indices_zyx(planes.positions_mm_xyz) - expected).max(axis=1)
    worst = int(off_px.argmax())
    if off_px[worst] <= DRAWN_OF_STEP:
        return ""
    return f"slice {worst + 1} lies {off_px[worst]:.2g} of a voxel off the even grid, tolerated {DRAWN_OF_STEP:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """The structures that a mask shows, and its voxels by their number among them: from 1, 0 for none."""

    structures: tuple[Structure, ...]
    values_zyx: NDArray[np.uint8]

    @classmethod
    def of(cls, labels: LabelVolume, structures: Sequence[Structure], path: Path) -> "Numbered":
        """Raises: Refusal IN-22 (exit 3) if the mask shows none of them; `path` is what is not written."""
        shown = tuple(structure for structure in structures if np.any(labels.labels_zyx == structure.value))
        if not shown:
            raise Refusal.of("IN-22", path, "is not written: the mask shows no femur", "look at the mask beside it")
        number_of = np.zeros(256, np.uint8)
        number_of[[structure.value for structure in shown]] = range(1, len(shown) + 1)
        return cls(structures=shown, values_zyx=number_of[labels.labels_zyx])

    @property
    def numbers(self) -> list[list[int]]:
        """Each number as a meaning of its own, as our readers take them."""
        return [[number] for number, _ in enumerate(self.structures, start=1)]


def write_proven(
    path: Path, content: bytes, changed: Callable[[Path], str], before_named: Callable[[Path], None] | None
) -> None:
    """Write an object; it gets its name once our own reader has found all in it that it should hold.

    Args:
        changed: reads a file back and says what it finds otherwise; empty: nothing.
        before_named: called with the file once it is proven, while it still has its temporary name.
    Raises: Refusal DC-01 (exit 3) if our reader refuses it, (exit 5) if the disk is full.
    """

    def reads_back(temporary: Path) -> None:
        try:
            problem = changed(temporary)
        except Refusal as refusal:
            problem = f"could not be read again, so it is not written: {refusal.faults[0].problem}"
            raise Refusal.of(
                "DC-01", path, problem, "take the mask as a volume file, which holds every voxel"
            ) from refusal
        if problem:
            raise OSError(errno.EIO, problem)
        if before_named:
            before_named(temporary)

    with written_durably(path, check=reads_back) as temporary:
        temporary.write_bytes(content)
