"""The CT that a DICOM-SEG or RTSTRUCT must have been drawn on: its slices, their places, and whose they are."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from femseg.errors import Fault, Refusal
from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.dicom.series import Pseudonym
from femseg.formats.source import CheckedVolume
from femseg.volumes.grid import VoxelGrid

DRAWN_OF_STEP = 0.45  # farther from a slice of the even grid, half a step and thus another slice is too near
RESAMPLED_TOGETHER = "resample CT and mask together to even slice spacing, or export both again with it"
GAPS_TOLERATED = 0.1  # share of the slices between a structure's ends on which it may be missing


def slice_place(points_mm_xyz: NDArray[np.float64], grid: VoxelGrid) -> float:
    """Where points (n, 3) lie among a grid's even slices, by their median height: 2.1 is a tenth beyond the third.

    They are drawn on slice `round(slice_place(...))`.
    """
    normal = np.array(grid.direction_xyz).reshape(3, 3)[:, 2]
    heights_mm = (points_mm_xyz - np.array(grid.origin_mm_xyz)) @ normal
    return float(np.median(heights_mm)) / grid.spacing_mm_zyx[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class CtPlanes:
    """A checked CT's slices, in the order of its grid.

    Attributes:
        positions_mm_xyz: centre of each slice's first pixel as its own header says, shape (Z, 3); the grid's are even.
        instance_uids: SOPInstanceUID of each slice; of a multi-frame CT, its one for all.
    """

    grid: VoxelGrid
    positions_mm_xyz: NDArray[np.float64]
    instance_uids: tuple[str, ...]
    patient_id: str = field(repr=False)
    series_uid: str
    frame_of_reference_uid: str

    @classmethod
    def of(cls, ct: CheckedVolume, ordered: Sequence[SliceHeader]) -> "CtPlanes":
        """Of a CT and its slices in stack order."""
        first = ordered[0]
        return cls(
            grid=ct.grid,
            positions_mm_xyz=np.array([header.position_mm_xyz for header in ordered]),
            instance_uids=tuple(header.instance_uid for header in ordered),
            patient_id=first.patient_id,
            series_uid=first.series_uid,
            frame_of_reference_uid=first.frame_of_reference_uid,
        )

    def heights_mm(self, points_mm_xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of points (…, 3) along the slice normal."""
        return np.asarray(points_mm_xyz @ np.array(self.grid.direction_xyz).reshape(3, 3)[:, 2])

    def nearest(self, height_mm: float) -> tuple[int, float]:
        """The slice nearest to a height, and how far it is, in mm."""
        offsets = self.heights_mm(self.positions_mm_xyz) - height_mm
        index = int(np.argmin(np.abs(offsets)))
        return index, float(abs(offsets[index]))

    def drawn_elsewhere(self, points_mm_xyz: NDArray[np.float64]) -> str:
        """What keeps points (n, 3) from being drawn on the slice that they lie on, in words; "" if nothing does.

        They lie on a slice where its own header puts it, and are drawn by the even grid, from which a CT may drift.
        """
        index, _ = self.nearest(float(np.median(self.heights_mm(points_mm_xyz))))
        place = slice_place(points_mm_xyz, self.grid)
        if round(place) == index and abs(place - index) <= DRAWN_OF_STEP:
            return ""
        return (
            f"lies on slice {index + 1} of the CT, but at {place + 1:.2f} by its even spacing of "
            f"{self.grid.spacing_mm_zyx[0]:.4g} mm, tolerated {DRAWN_OF_STEP:g} of a slice: it may be drawn on another"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnOn:
    """Which CT a mask object says that it was drawn on; empty where it does not say."""

    patient_id: str = field(repr=False)
    frame_of_reference_uids: frozenset[str]
    series_uids: frozenset[str]
    instance_uids: frozenset[str]


def check_drawn_on(
    drawn_on: DrawnOn, ct: CtPlanes, file: str, pseudonym: Pseudonym, *, accept_frame: bool
) -> tuple[str, ...]:
    """Compare what a mask says of its CT with the CT at hand. Returns remarks.

    Raises: Refusal IN-06 for another patient, frame of reference or series, or if none of the images is of this CT.
    """
    faults, remarks = [], []

    def other(tag: str, found: frozenset[str], expected: str, unless: str = "") -> Fault:
        theirs = ", ".join(sorted(map(pseudonym, found)))
        problem = f"mask of another CT: its {tag} is {theirs}, the CT's is {pseudonym(expected)} (hashed)"
        return Fault("IN-06", file, problem, f"take the mask that was drawn on this CT{unless}")

    if drawn_on.patient_id and ct.patient_id and drawn_on.patient_id != ct.patient_id:
        faults.append(other("PatientID", frozenset({drawn_on.patient_id}), ct.patient_id))
    frames = drawn_on.frame_of_reference_uids
    if frames and ct.frame_of_reference_uid and ct.frame_of_reference_uid not in frames:
        unless = "; if it was, take it all the same by --accept-frame (cohort.accept_frame)"
        fault = other("FrameOfReferenceUID", frames, ct.frame_of_reference_uid, unless)
        if accept_frame:
            remarks.append(f"IN-06: {fault.problem}; accepted as chosen")
        else:
            faults.append(fault)
    if drawn_on.series_uids and ct.series_uid not in drawn_on.series_uids:
        faults.append(other("referenced series", drawn_on.series_uids, ct.series_uid))
    elif drawn_on.instance_uids and not drawn_on.instance_uids & {*ct.instance_uids}:
        problem = f"mask of another CT: none of the {len(drawn_on.instance_uids)} images it names is a slice of this CT"
        faults.append(Fault("IN-06", file, problem, "take the mask that was drawn on this CT"))
    if faults:
        raise Refusal(faults)
    return tuple(remarks)


def check_images(named: Sequence[Collection[str]], what: str, ct: CtPlanes, file: str) -> None:
    """Compare the images that each chosen frame or contour names with the CT's; naming none is no fault.

    Raises: Refusal IN-06 if one names images, but none of this CT: the object is of several series.
    """
    ours = {*ct.instance_uids}
    foreign = [number for number, uids in enumerate(named, start=1) if any(uids) and ours.isdisjoint(uids)]
    if foreign:
        problem = f"mask of another CT: {len(foreign)} of {len(named)} {what} name images of which none is of this CT"
        fix = "take the mask that was drawn on this CT"
        raise Refusal.of("IN-06", file, f"{problem}, the first is number {foreign[0]}", fix)


def check_unmended(ct: CheckedVolume, file: str) -> None:
    """Raises: Refusal IN-20 if the CT is resampled after reading, while the mask lies on its original slices."""
    if ct.mends:
        problem = f"lies on the CT's original slices, but the CT is resampled ({', '.join(ct.mends)})"
        fix = "convert this mask to a volume file and resample it together with its CT, or drop the case"
        raise Refusal.of("IN-20", file, problem, fix)


def gap_remarks(slices: set[int], name: str, file: str, besides: str = "") -> tuple[str, ...]:
    """Remark on slices that a structure skips between its ends; a refusal says `besides` what may belong there.

    Raises: Refusal IN-22 if it skips more than a tenth of them: it was drawn on thicker slices, or on every other one.
    """
    span = max(slices) - min(slices) + 1
    missing = sorted(set(range(min(slices), max(slices))) - slices)
    if not missing:
        return ()
    found = f"'{name}' is drawn on {len(slices)} of the {span} slices between its ends; the first gap is slice"
    if len(missing) > GAPS_TOLERATED * span:
        fix = "draw it on every slice (interpolate between the drawn ones), or take the CT that it was drawn on"
        raise Refusal.of("IN-22", file, f"{found} {missing[0] + 1}{f' ({besides})' if besides else ''}", fix)
    return (f"IN-22: {found} {missing[0] + 1}",)
