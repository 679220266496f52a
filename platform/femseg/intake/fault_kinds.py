"""What kind of fault an id of the acceptance matrix stands for, in the words of the clinic, and what to do first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from femseg.errors import Fault
from femseg.intake.result import CheckedCohort


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """Attributes:
    title: what is the matter, as a sentence without its full stop.
    advice: what a radiographer can do about it.
    """

    title: str
    advice: str


_SEND_AGAIN = "Send the whole series again from the scanner or the archive, into an empty folder."
_COPY_AGAIN = "Copy this file again from where it came; if it is broken there too, send the series again."
_EXPORT_AGAIN = "Export the original CT series again as DICOM, unchanged, not anonymised by hand and not converted."
_REDRAW = "Open CT and mask together in your viewer; draw or export the mask again on this very CT."

KINDS: dict[str, FaultKind] = {
    id_: FaultKind(title=title, advice=advice)
    for id_, title, advice in (
        ("IN-01", "Slices are missing inside the scan", _SEND_AGAIN),
        ("IN-02", "Slices are not evenly spaced", "Reconstruct the series with even slice spacing."),
        ("IN-03", "The scan has fewer slices than were acquired", _SEND_AGAIN),
        (
            "IN-04",
            "Two different slices lie at one place",
            "Two phases or two reconstructions are mixed: put each into a folder of its own.",
        ),
        (
            "IN-05",
            "It is not clear which files are the CT and the mask",
            "Leave one CT series and one mask in the study's folder; move the others elsewhere.",
        ),
        (
            "IN-06",
            "Two patients or two examinations are mixed",
            "Stop: find out whose images these are, and put each examination into a folder of its own.",
        ),
        ("IN-07", "Overview images or reformats lie among the slices", "Move them out of the folder of the CT series."),
        ("IN-08", "Slice size or pixel size changes within the scan", _EXPORT_AGAIN),
        (
            "IN-09",
            "The scan was made with a tilted gantry",
            "Scan without tilt, or let the study be straightened (option --untilt), and look at it afterwards.",
        ),
        ("IN-10", "The scale of the grey values is missing", _EXPORT_AGAIN),
        (
            "IN-11",
            "The grey values are no Hounsfield units",
            "Export the CT again without windowing or filters. If bone or air are truly absent, say so (--accept-hu).",
        ),
        ("IN-12", "The files are of a kind that is not read", _EXPORT_AGAIN),
        ("IN-13", "The slices do not say where in the body they lie", _EXPORT_AGAIN),
        ("IN-14", "Files are empty, cut short or broken", _COPY_AGAIN),
        ("IN-16", "Volume files are cut short or altered", _COPY_AGAIN),
        ("IN-17", "The CT holds values that are no numbers", "Export the volume again from its source."),
        ("IN-18", "The file does not say clearly where its voxels lie", "Convert the CT again from its DICOM series."),
        ("IN-19", "The sizes are impossible for a leg", "Write the geometry in millimetres."),
        ("IN-20", "Mask and CT do not lie on the same grid", _REDRAW),
        ("IN-21", "The mask does not lie on the bone", _REDRAW),
        ("IN-22", "The mask is missing, empty or holds unexplained values", _REDRAW),
        (
            "IN-23",
            "One patient, or one scan, is there twice",
            "Keep one copy of a scan; keep all studies of a patient on one side of the split.",
        ),
        ("IN-24", "The scan is too large to be read safely", "Crop the scan to the legs, or send it uncompressed."),
        ("IN-25", "An array file cannot be trusted", "Make the array again from its CT."),
        ("IN-26", "Files cannot be opened", "Ask who looks after this disk to restore the files or their permissions."),
        ("PP-04", "The femur is too small for the network's grid", "Crop the scan to the leg."),
        ("SC-07", "An archive is unsafe to unpack", "Do not unpack it; ask who sent it, and let it be packed again."),
        ("SC-08", "A list of files leads out of its folder", "Put all files of a data set into one folder."),
        (
            "SC-13",
            "Screenshots, or text burned into the image",
            "Export the original images; burned-in text can name the patient.",
        ),
    )
}
_OTHER = FaultKind(title="Other faults", advice="")


def kind_of(fault_id: str) -> FaultKind:
    """The kind of fault; a general one for an id that is not about studies."""
    return KINDS.get(fault_id, _OTHER)


# Faults by their cause: one sentence, one fix, and how many studies it concerns.


_OF_ONE_STUDY = re.compile(r"(?<=--mask )\S+|(?<=--series )\S+|\S*\d\S*")  # names and numbers in a fix


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultGroup:
    """Faults of one kind that one and the same fix mends.

    Attributes:
        studies: names of the studies concerned, each once.
        faults: all of them, in the order in which they were found.
    """

    id: str
    title: str
    fix: str
    studies: tuple[str, ...]
    faults: tuple[Fault, ...]


def fault_groups(cohort: CheckedCohort) -> tuple[FaultGroup, ...]:
    """Every fault of a cohort in exactly one group; those that concern most studies first."""
    found: dict[tuple[str, str], list[tuple[str, Fault]]] = {}
    of_studies = [(study.name, fault) for study in cohort.studies for fault in study.faults]
    for name, fault in of_studies or [("", fault) for fault in cohort.faults]:
        found.setdefault((fault.id, _OF_ONE_STUDY.sub("…", fault.fix)), []).append((name, fault))
    groups = [_group(id_, members) for (id_, _), members in found.items()]
    return tuple(sorted(groups, key=lambda group: (-len(group.studies), group.id)))


def _group(id_: str, members: Sequence[tuple[str, Fault]]) -> FaultGroup:
    fixes = {fault.fix for _, fault in members}
    fix = members[0][1].fix
    return FaultGroup(
        id=id_,
        title=kind_of(id_).title,
        fix=fix if len(fixes) == 1 else fix.partition(": ")[0],  # what follows is of one study
        studies=tuple(dict.fromkeys(name for name, _ in members if name)),
        faults=tuple(fault for _, fault in members),
    )
