"""One DICOM series, checked as a whole: headers in, a regular stack with its grid out, or every fault at once."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from femseg.errors import Fault, Refusal
from femseg.formats.dicom.headers import READABLE_SYNTAXES, SliceHeader, uid_name
from femseg.formats.dicom.mending import OUTSIDE_HU, mend_plan
from femseg.formats.dicom.pixels import HounsfieldOf, lossy_remarks, read_slice_hu, rescaling_findings, unpacking_faults
from femseg.formats.dicom.stack import SliceStack, parallel, skewed, stack_grid, stacked, turned_mm, unlike_the_first
from femseg.formats.plausible import size_faults
from femseg.formats.source import CheckedVolume, Mend
from femseg.volumes.grid import VoxelGrid

COUNT_UNVERIFIABLE = "IN-03: count of slices not verifiable"
LOCALIZERS_AT_MOST = 3
_SCOUT_DEGREES = 10.0
HOUNSFIELD = ("", "HU")  # what RescaleType may say of a CT (PS3.3 C.11.1.1.2); the others that are worth naming:
_UNITS = ("ED", "EDW", "OD", "HGML", "Z_EFF", "HU_MOD", "PCT", "MGML")
UNSPECIFIED = "US"

Role = Literal["ct", "mask"]
Pseudonym = Callable[[str], str]


def series_name(slices: Sequence[SliceHeader]) -> str:
    """The folder that a series lies in, as faults name it."""
    folders = Counter(header.path.parent for header in slices)
    return str(min(folders, key=lambda folder: (-folders[folder], str(folder))))


def check_series(
    slices: Sequence[SliceHeader],
    role: Role,
    pseudonym: Pseudonym,
    mends: Sequence[Mend] = (),
    hu_of: HounsfieldOf = read_slice_hu,
) -> CheckedVolume:
    """Check one series' headers and put its files in order along the slice normal.

    Args:
        slices: all slices with one SeriesInstanceUID, in any order.
        role: a mask may lack rescaling and be of any modality.
        pseudonym: turns a patient's or study's identifier into a keyed hash, for messages.
        mends: what may be mended where it is needed; the result says what will be.
        hu_of: reads a slice, where it is no file of its own but a frame.
    Raises: Refusal with every fault found (IN-01, 02, 04, 06 … 10, 12, 13, 19; 03 and SC-13 for a CT).
    """
    slices = sorted(slices, key=lambda header: str(header.path))
    series = series_name(slices)
    kind = _unreadable_kind(slices, role)
    if role == "ct" and all(header.modality != "CT" for header in slices):
        raise Refusal(kind)  # what is no CT is not asked for all that a CT must say
    faults = [*_mixed_identity(slices, series, pseudonym), *kind]
    if role == "ct":
        faults += _rescaling(slices)
    missing = _missing_tags(slices)
    if missing:
        raise Refusal([*missing, *faults])
    kept, remarks, odd = _without_localizers(slices, series, mends)
    remarks += lossy_remarks(kept)
    if role == "ct" and any(header.rescale_type == UNSPECIFIED for header in kept):
        remarks.append("IN-10: RescaleType (0028,1054) is US, unspecified; taken as Hounsfield units")
    if bare := sum(header.bare for header in kept):
        remarks.append(f"IN-12: {bare} of {len(kept)} files have no DICOM preamble (PS3.10); read all the same")
    stack = stacked(kept, series, mends)
    uneven, unparallel = unlike_the_first(stack.slices)
    faults += [*odd, *uneven, *stack.faults]
    remarks += unparallel
    if not faults:
        grid, made = _grid_of(stack, role)
        remarks += [*stack.remarks, *made]
        faults += [*size_faults(grid, series), *unpacking_faults(stack.slices, series, role)]
    if role == "ct":
        left_out = 0 if faults else len(slices) - len(stack.slices)
        scouts = 0 if faults else len(slices) - len(kept)
        short, unverified = _expected_count(slices, left_out - stack.bridged, scouts, series)
        faults += short
        remarks += unverified
    if not faults and role == "ct":
        strange, rescaled = rescaling_findings(stack.slices, hu_of)
        faults += strange
        remarks += rescaled
    if faults:
        raise Refusal(faults)
    return CheckedVolume(
        kind="dicom",
        paths=tuple(header.path for header in stack.slices),
        grid=grid,
        mends=stack.mends,
        remarks=tuple(remarks),
    )


def _grid_of(stack: SliceStack, role: Role) -> tuple[VoxelGrid, list[str]]:
    """The grid after the mends, and a remark where they widened the field of view."""
    raw = stack_grid(stack.slices)
    if not stack.mends:
        return raw, []
    grid = mend_plan(stack.slices, stack.mends).grid
    (_, rows, columns), (_, more_rows, more_columns) = raw.shape_zyx, grid.shape_zyx
    if (rows, columns) == (more_rows, more_columns):
        return grid, []
    outside = f"{OUTSIDE_HU:.0f} HU" if role == "ct" else "0"
    return grid, [f"IN-09: {rows} × {columns} pixels a slice made {more_rows} × {more_columns}, outside is {outside}"]


def _first(slices: Sequence[SliceHeader], wrong: Callable[[SliceHeader], bool]) -> tuple[SliceHeader, str] | None:
    """The first slice with a fault, and how many share it."""
    found = [header for header in slices if wrong(header)]
    return (found[0], f"{len(found)} of {len(slices)} slices") if found else None


def _missing_tags(slices: Sequence[SliceHeader]) -> list[Fault]:
    """IN-13: tags without which a slice has no place in space."""
    checks: list[tuple[str, Callable[[SliceHeader], bool]]] = [
        ("SeriesInstanceUID (0020,000E)", lambda s: not s.series_uid),
        ("ImagePositionPatient (0020,0032)", lambda s: s.position_mm_xyz is None),
        ("ImageOrientationPatient (0020,0037)", lambda s: s.orientation is None),
        ("PixelSpacing (0028,0030)", lambda s: s.spacing_mm_yx is None or min(s.spacing_mm_yx) <= 0),
        ("Rows (0028,0010)", lambda s: not s.rows),
        ("Columns (0028,0011)", lambda s: not s.columns),
    ]
    faults = []
    for tag, wrong in checks:
        if found := _first(slices, wrong):
            if odd := found[0].unread.get(tag.partition(" ")[0]):
                problem = f"{tag} is '{odd}', expected numbers with a decimal point ({found[1]})"
            else:
                problem = f"{tag} is missing or holds no usable number ({found[1]})"
            faults.append(Fault("IN-13", found[0].path, problem, "export the series again with its full header"))
    if found := _first(slices, skewed):
        cosines = ", ".join(f"{cosine:.4g}" for cosine in found[0].orientation or ())
        problem = f"ImageOrientationPatient ({cosines}) is not two perpendicular unit vectors ({found[1]})"
        faults.append(Fault("IN-13", found[0].path, problem, "export the series again with its true orientation"))
    return faults


def _mixed_identity(slices: Sequence[SliceHeader], series: str, pseudonym: Pseudonym) -> list[Fault]:
    """IN-06: two patients, studies or frames of reference under one SeriesInstanceUID."""
    faults = []
    for tag, name in (
        ("PatientID", "patient_id"),
        ("StudyInstanceUID", "study_uid"),
        ("FrameOfReferenceUID", "frame_of_reference_uid"),
    ):
        counts = Counter(str(getattr(header, name)) for header in slices)
        if len(counts) > 1:
            shown = ", ".join(f"{pseudonym(value) if value else 'none'} ({n} slices)" for value, n in counts.items())
            problem = f"one series holds {len(counts)} values of {tag} (hashed: {shown})"
            faults.append(Fault("IN-06", series, problem, "separate the studies into folders of their own"))
    return faults


def _unreadable_kind(slices: Sequence[SliceHeader], role: Role) -> list[Fault]:
    """IN-12 and SC-13: what the voxels mean or how they are stored is not what we read."""
    checks: list[tuple[str, Callable[[SliceHeader], bool], Callable[[SliceHeader], str], str]] = [
        (
            "IN-12",
            lambda s: s.photometric != "MONOCHROME2",
            lambda s: f"PhotometricInterpretation (0028,0004) is {s.photometric or 'missing'}, expected MONOCHROME2",
            "export as MONOCHROME2",
        ),
        (
            "IN-12",
            lambda s: s.samples != 1 or s.frames != 1,
            lambda s: f"holds {s.frames} frame(s) of {s.samples} sample(s) a pixel, expected 1 of 1",
            "export as single-frame slices, one sample a pixel",
        ),
        (
            "IN-12",
            lambda s: s.transfer_syntax not in READABLE_SYNTAXES,
            lambda s: f"TransferSyntaxUID (0002,0010) is {uid_name(s.transfer_syntax) or 'missing'}",
            "export as Explicit VR Little Endian",
        ),
    ]
    if role == "ct":
        checks += [
            (
                "IN-12",
                lambda s: s.modality != "CT",
                lambda s: f"Modality (0008,0060) is {s.modality or 'missing'}, expected CT",
                "choose the CT series",
            ),
            (
                "SC-13",
                lambda s: s.burned_in or uid_name(s.sop_class).startswith("Secondary Capture"),
                lambda s: "is a screenshot or has text burned into its pixels",
                "export the original images; burned-in text can name the patient",
            ),
        ]
    faults = []
    for fault_id, wrong, problem, fix in checks:
        if found := _first(slices, wrong):
            faults.append(Fault(fault_id, found[0].path, f"{problem(found[0])} ({found[1]})", fix))
    return faults


def _rescaling(slices: Sequence[SliceHeader]) -> list[Fault]:
    """IN-10: without slope and intercept, or in another unit, numbers are not Hounsfield units."""
    if found := _first(slices, lambda s: s.rescale_type not in (*HOUNSFIELD, UNSPECIFIED)):
        unit = found[0].rescale_type if found[0].rescale_type in _UNITS else "of another unit"
        problem = f"RescaleType (0028,1054) is {unit}, expected HU ({found[1]})"
        return [Fault("IN-10", found[0].path, problem, "choose the reconstruction in Hounsfield units")]
    checks: list[tuple[str, Callable[[SliceHeader], bool]]] = [
        ("RescaleSlope (0028,1053) is missing", lambda s: s.slope is None),
        ("RescaleSlope (0028,1053) is 0", lambda s: s.slope == 0),
        ("RescaleIntercept (0028,1052) is missing", lambda s: s.intercept is None),
    ]
    faults = []
    for problem, wrong in checks:
        if found := _first(slices, wrong):
            if odd := found[0].unread.get(problem.partition(" ")[0]):
                problem = problem.replace("missing", f"'{odd}', expected a number with a decimal point")
            fix = "export the series again with its rescaling to Hounsfield units"
            faults.append(Fault("IN-10", found[0].path, f"{problem} ({found[1]})", fix))
    return faults


def _without_localizers(
    slices: Sequence[SliceHeader], series: str, mends: Sequence[Mend]
) -> tuple[list[SliceHeader], list[str], list[Fault]]:
    """IN-07, IN-08: a few scouts beside a complete stack are dropped and recorded; any other odd slice is a fault.

    A slice of another size but the stack's orientation counts as a scout only where it cannot be a part of the stack,
    that is, where dropping it does not shorten the stack.
    """
    shapes: list[list[SliceHeader]] = []
    for header in slices:
        for group in shapes:
            first = group[0]
            if (first.rows, first.columns) == (header.rows, header.columns) and parallel(first, header):
                group.append(header)
                break
        else:
            shapes.append([header])
    kept = max(shapes, key=len)
    odd = [header for group in shapes if group is not kept for header in group]
    if not odd:
        return kept, [], []
    rest = stacked(kept, series, mends)
    droppable = len(odd) <= LOCALIZERS_AT_MOST and not rest.faults
    if droppable and all(_is_scout(header, rest.slices) for header in odd):
        names = ", ".join(header.path.name for header in odd)
        return kept, [f"IN-07: {names} left out as localizer(s)"], []
    return kept, [], [_odd_one(odd, kept[0])]


def _odd_one(odd: Sequence[SliceHeader], usual: SliceHeader) -> Fault:
    turned = [header for header in odd if not parallel(header, usual)]
    if turned:
        problem = (
            f"is oriented unlike the rest of its series, by {turned_mm(turned[0], usual):.2f} mm at its far corner "
            f"({len(turned)} such slices)"
        )
        return Fault("IN-07", turned[0].path, problem, "move localizers and reformats to another folder")
    problem = (
        f"has {odd[0].rows} rows × {odd[0].columns} columns, the series {usual.rows} × {usual.columns} "
        f"({len(odd)} such slices)"
    )
    return Fault("IN-08", odd[0].path, problem, "keep slices of one size in a series")


def _is_scout(header: SliceHeader, stack: Sequence[SliceHeader]) -> bool:
    cosines = np.sum(np.array([header.orientation, stack[0].orientation]).reshape(2, 2, 3).prod(axis=0), axis=1)
    if "LOCALIZER" in header.image_type or cosines.min() < np.cos(np.radians(_SCOUT_DEGREES)):
        return True
    if (header.rows, header.columns) == (stack[0].rows, stack[0].columns):
        return False
    height = stack_grid(stack).direction_xyz[2::3]
    low, here, high = (float(np.dot(s.position_mm_xyz or (), height)) for s in (stack[0], header, stack[-1]))
    return low <= here <= high


def _expected_count(
    slices: Sequence[SliceHeader], left_out: int, scouts: int, series: str
) -> tuple[list[Fault], list[str]]:
    """IN-03: slices missing at an end show in nothing but a count.

    Args:
        left_out: how many of the slices are no part of the stack, less those that a mend adds to it.
        scouts: how many of these are localizers, which the count may include.
    """
    counts = {header.images_in_acquisition for header in slices} - {None, 0}
    if not counts:
        return [], [COUNT_UNVERIFIABLE]
    expected = max(count for count in counts if count)
    found = len(slices) - left_out
    if expected <= found:
        return [], []
    if all("DERIVED" in header.image_type for header in slices):
        return [], [f"{COUNT_UNVERIFIABLE}: ImagesInAcquisition says {expected}, of what the series was made from"]
    if expected <= found + scouts:
        return [], [f"{COUNT_UNVERIFIABLE}: ImagesInAcquisition says {expected}, perhaps with the localizer(s)"]
    problem = f"has {found} slices, ImagesInAcquisition (0020,1002) says {expected}"
    return [Fault("IN-03", series, problem, "send the whole series again")], []
