"""A mask as RT Structure Set: closed contours, filled on the slices of the CT (PS3.3 C.8.8.5, C.8.8.6)."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from femseg.errors import Refusal
from femseg.formats.dicom.contours import PlanarContour, enclosed_px, filled, length_px, region_of
from femseg.formats.dicom.ct_planes import (
    RESAMPLED_TOGETHER,
    CtPlanes,
    DrawnOn,
    check_drawn_on,
    check_images,
    check_unmended,
    gap_remarks,
    slice_place,
)
from femseg.formats.dicom.multiframe import decoded_of, parsing, raw_of, read_object, text_of, texts_of
from femseg.formats.dicom.series import Pseudonym
from femseg.formats.source import CheckedVolume
from femseg.formats.structures import unique_names
from femseg.volumes.grid import VoxelGrid

STRUCTURE_SET = "RT Structure Set Storage"
OFF_PLANE_MM = 0.1  # planning systems write one or two decimals
_OFF_PLANE_SHARE = 0.25  # of the slice spacing
_REGIONS_AT_MOST = int(np.iinfo(np.uint16).max)  # labels of the mask drawn
_FILE_BYTES_AT_MOST = 128 << 20
_CONTOUR_BYTES_AT_MOST = 32 << 20  # a million points and more; a densely drawn femur has a quarter of that
_CONTOURS_AT_MOST = 10_000  # pydicom takes about 0.2 ms for each; a femur of 500 slices has a thousand
_LENGTH_AT_MOST_MM = 2e6  # filling takes as long as contours are; a femur of 500 slices has 0.1e6
_ROI_NUMBER_AT_MOST = 2**31 - 1  # of an integer string (PS3.5 6.2)
_PAIRS_AT_MOST = 20_000  # of contours on one slice that are compared; a femur of 500 slices has a few for each
_TOGGLING = ("CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
_CLOSED = ("CLOSED_PLANAR", "INTERPOLATED_PLANAR", *_TOGGLING)  # the second is in no standard, and is written


@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """One closed contour.

    Attributes:
        kind: its ContourGeometricType.
        points_mm_xyz: shape (n, 3).
        image_uids: slices that it was drawn on, where it says so.
    """

    kind: str
    points_mm_xyz: NDArray[np.float64]
    image_uids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSet:
    """A parsed structure set; contours are read by `contours_of`.

    Attributes:
        names: each region of interest with its place in the file, counted from 1; its label in the mask drawn.
        roi_numbers: what the file calls each region, in the order of the file: any whole number from 0 to 2³¹ - 1.
        frame_uids: frame of reference of each region, in the same order; empty where it does not say.
    """

    path: Path
    names: Mapping[str, int]
    roi_numbers: tuple[int, ...]
    frame_uids: tuple[str, ...]
    drawn_on: DrawnOn
    dataset: Dataset


def read_structure_set(path: Path) -> StructureSet:
    """Parse a structure set.

    Raises: Refusal IN-14, IN-24 if it is broken or too large, IN-13 if a region has no number, IN-22 if two share one.
    """
    dataset = read_object(path, bytes_at_most=_FILE_BYTES_AT_MOST)
    with parsing(path, "has broken structures"):
        regions = list(dataset.get("StructureSetROISequence") or ())
        if len(regions) > _REGIONS_AT_MOST:
            raise _too_many(path, f"{len(regions)} regions", f"{_REGIONS_AT_MOST} regions")
        names = [decoded_of(region, "ROIName", dataset) for region in regions]
        return StructureSet(
            path=path,
            names=unique_names(enumerate(names, start=1)),
            roi_numbers=_roi_numbers(regions, path),
            frame_uids=tuple(text_of(region, "ReferencedFrameOfReferenceUID") for region in regions),
            drawn_on=_drawn_on(dataset),
            dataset=dataset,
        )


def _roi_numbers(regions: Sequence[Dataset], path: Path) -> tuple[int, ...]:
    stated = [text_of(region, "ROINumber") for region in regions]
    for k, text in enumerate(stated, start=1):
        if not re.fullmatch(r"\+?[0-9]+", text) or int(text) > _ROI_NUMBER_AT_MOST:
            found = json.dumps(text) if text else "missing"
            problem = f"ROINumber (3006,0022) of structure {k} of {len(regions)} is {found}"
            raise Refusal.of("IN-13", path, problem, f"export it with whole numbers from 0 to {_ROI_NUMBER_AT_MOST}")
    numbers = [int(text) for text in stated]
    if twice := [number for number, count in Counter(numbers).items() if count > 1]:
        problem = f"gives several structures the ROINumber (3006,0022) {twice[0]}"
        raise Refusal.of("IN-22", path, problem, "give each structure a number of its own")
    return tuple(numbers)


def _drawn_on(dataset: Dataset) -> DrawnOn:
    frames = dataset.get("ReferencedFrameOfReferenceSequence") or ()
    studies = [study for frame in frames for study in frame.get("RTReferencedStudySequence") or ()]
    series = [one for study in studies for one in study.get("RTReferencedSeriesSequence") or ()]
    images = [image for one in series for image in one.get("ContourImageSequence") or ()]
    return DrawnOn(
        patient_id=text_of(dataset, "PatientID"),
        frame_of_reference_uids=texts_of(frames, "FrameOfReferenceUID"),
        series_uids=texts_of(series, "SeriesInstanceUID"),
        instance_uids=texts_of(images, "ReferencedSOPInstanceUID"),
    )


def contours_of(structures: StructureSet, region: int) -> tuple[list[Contour], dict[str, int]]:
    """Closed contours of a region, exact repetitions left out, and how many of each other kind there are.

    Args:
        region: its place in the file, counted from 1.
    Raises: Refusal IN-14 if one is broken, IN-24 if there are too many points.
    """
    path = structures.path
    found: dict[bytes, Contour] = {}
    others: dict[str, int] = {}
    count, size, length_mm = 0, 0, 0.0
    with parsing(path, "has broken contours"):
        for item in structures.dataset.get("ROIContourSequence") or ():
            if int(item.get("ReferencedROINumber", -1)) != structures.roi_numbers[region - 1]:
                continue
            for contour in item.get("ContourSequence") or ():
                count += 1
                if count > _CONTOURS_AT_MOST:
                    raise _too_many(path, f"{count} pieces", f"{_CONTOURS_AT_MOST} pieces")
                kind = text_of(contour, "ContourGeometricType")
                if kind not in _CLOSED:
                    others[kind] = others.get(kind, 0) + 1
                    continue
                data = raw_of(contour, "ContourData")
                size += len(data)
                if size > _CONTOUR_BYTES_AT_MOST:
                    raise _too_many(path, f"{size} bytes", f"{_CONTOUR_BYTES_AT_MOST} bytes")
                if data in found:
                    others["repeated"] = others.get("repeated", 0) + 1
                    continue
                images = texts_of(contour.get("ContourImageSequence") or (), "ReferencedSOPInstanceUID")
                found[data] = Contour(kind=kind, points_mm_xyz=_points(data), image_uids=images)
                length_mm += float(np.abs(np.diff(found[data].points_mm_xyz, axis=0)).sum())
                if length_mm > _LENGTH_AT_MOST_MM:
                    raise _too_many(path, f"{length_mm:.3g} mm", f"{_LENGTH_AT_MOST_MM:g} mm")
    return list(found.values()), others


def _points(data: bytes) -> NDArray[np.float64]:
    points = np.array(data.decode("ascii").strip(" \0").split("\\"), np.float64).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise ValueError("a point that is no finite number")
    return points


def _too_many(path: Path, found: str, read: str) -> Refusal:
    problem = f"has {found} of contours and more, at most {read} are read"
    return Refusal.of("IN-24", path, problem, "export the femur alone, with fewer points")


def check_structure_set(
    structures: StructureSet,
    chosen: Sequence[int],
    ct: CheckedVolume,
    planes: CtPlanes,
    pseudonym: Pseudonym,
    *,
    accept_frame: bool,
) -> CheckedVolume:
    """Check that the chosen regions' contours lie on the CT's slices, on nearly every one between their ends.

    Raises: Refusal IN-06, IN-20, IN-22.
    """
    path = structures.path
    check_unmended(ct, str(path))
    drawn_on = _drawn_on_by(structures, chosen, planes)
    remarks = check_drawn_on(drawn_on, planes, str(path), pseudonym, accept_frame=accept_frame)
    names = {number: name for name, number in structures.names.items()}
    for region in chosen:
        contours, others = contours_of(structures, region)
        name = names.get(region, str(region))
        if not contours:
            problem = f"'{name}' has no closed contour ({_listed(others) or 'none at all'})"
            raise Refusal.of("IN-22", path, problem, "draw it, or choose another structure")
        check_images([contour.image_uids for contour in contours], f"contours of '{name}'", planes, str(path))
        slices = {_checked_slice(contour, k, name, planes, str(path)) for k, contour in enumerate(contours, start=1)}
        remarks += gap_remarks(slices, name, str(path), besides=f"left out: {_listed(others)}" if others else "")
        repeated, drawn = _drawn_remarks(contours, name, ct.grid, path)
        if repeated:
            others["repeated"] = others.get("repeated", 0) + repeated
        if others:
            remarks += (f"IN-22: contours of '{name}' left out: {_listed(others)}",)
        remarks += drawn
    return CheckedVolume(kind="rtstruct", paths=(path,), grid=ct.grid, remarks=remarks)


def _drawn_on_by(structures: StructureSet, chosen: Sequence[int], ct: CtPlanes) -> DrawnOn:
    """What the set says of its CT; a region's own frame of reference goes before the set's, one of another CT first."""
    own = frozenset(structures.frame_uids[region - 1] for region in chosen) - {""}
    frames = own - {ct.frame_of_reference_uid} or own or structures.drawn_on.frame_of_reference_uids
    return replace(structures.drawn_on, frame_of_reference_uids=frames)


def _drawn_remarks(contours: Sequence[Contour], name: str, grid: VoxelGrid, path: Path) -> tuple[int, tuple[str, ...]]:
    """What is drawn, compared with what the contours enclose by their points: how many are repeated, and remarks.

    Raises: Refusal IN-22 if one that encloses pixels fills none: it runs round twice, or lies beside the image.
        IN-24 if there are too many on one slice.
    """
    shape_yx, spacing_mm_yx = grid.shape_zyx[1:], grid.spacing_mm_zyx[1:]
    pixel_mm2 = spacing_mm_yx[0] * spacing_mm_yx[1]
    repeated = pairs = bare = 0
    odd_mm2: list[tuple[float, float]] = []
    for index, flat in sorted(_by_slice(contours, grid).items()):
        region = region_of(flat, shape_yx, spacing_mm_yx)
        repeated, pairs = repeated + region.repeated, pairs + region.pairs
        if pairs > _PAIRS_AT_MOST:
            raise _too_many(path, f"{pairs} pairs on one slice", f"{_PAIRS_AT_MOST} pairs")
        bare += not region.inside_yx.any()
        for points_xy, _ in flat:
            meant, pixels = enclosed_px(points_xy), int(np.count_nonzero(filled([points_xy], shape_yx)))
            if abs(meant - pixels) <= 1 + length_px(points_xy) / 2:
                continue
            found = f"{meant * pixel_mm2:.4g} mm² by its points"
            if not pixels:
                problem = f"a contour of '{name}' on slice {index + 1} encloses {found}, and no pixel"
                fix = "draw it once round, inside the image, and without crossing itself"
                raise Refusal.of("IN-22", path, problem, fix)
            odd_mm2.append((meant * pixel_mm2, pixels * pixel_mm2))
    kinds = Counter(contour.kind for contour in contours if contour.kind == "INTERPOLATED_PLANAR")
    remarks = [f"IN-22: {count} contours of '{name}' are {kind}; taken as closed" for kind, count in kinds.items()]
    if bare:
        remarks.append(f"IN-22: '{name}' encloses no pixel's centre on {bare} of its slices")
    if odd_mm2:
        meant_mm2, drawn_mm2 = max(odd_mm2, key=lambda both: abs(both[0] - both[1]))
        found = f"the oddest encloses {meant_mm2:.4g} mm² by its points, {drawn_mm2:.4g} mm² are drawn"
        remarks.append(f"IN-22: {len(odd_mm2)} contours of '{name}' cross themselves or leave the image: {found}")
    return repeated, tuple(remarks)


def _listed(others: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind or 'of no type'}" for kind, count in others.items())


def _checked_slice(contour: Contour, number: int, name: str, ct: CtPlanes, file: str) -> int:
    """Index of the slice that a contour lies on. Raises: Refusal IN-20 if it lies between slices or on another one."""
    heights = ct.heights_mm(contour.points_mm_xyz)
    index, _ = ct.nearest(float(np.median(heights)))
    off_mm = float(np.abs(heights - ct.heights_mm(ct.positions_mm_xyz[index])).max())
    tolerated_mm = min(OFF_PLANE_MM, _OFF_PLANE_SHARE * ct.grid.spacing_mm_zyx[0])
    problem, fix = "", "take the CT that the contours were drawn on, or export them on the slices of this one"
    if off_mm > tolerated_mm:
        problem = f"reaches {off_mm:.3g} mm from the nearest slice of the CT, tolerated {tolerated_mm:g} mm"
    elif (named := contour.image_uids & {*ct.instance_uids}) and ct.instance_uids[index] not in named:
        other = ct.instance_uids.index(min(named)) + 1
        problem = f"lies on slice {index + 1} of the CT, but says that it was drawn on slice {other}"
    elif problem := ct.drawn_elsewhere(contour.points_mm_xyz):
        fix = RESAMPLED_TOGETHER
    if problem:
        raise Refusal.of("IN-20", file, f"contour {number} of '{name}' {problem}", fix)
    return index


def draw_structure_set(path: Path, grid: VoxelGrid, meanings: Sequence[Sequence[int]]) -> NDArray[np.uint16]:
    """Fill regions on the CT's grid: each voxel holds its region's place in the file, from 1; 0 where there is none.

    Args:
        path: a structure set whose contours were found to lie on this grid's slices.
        meanings: regions that mean the same, and may overlap, together; no others are drawn.
    Raises: Refusal IN-22 if regions of different meaning share a voxel.
    """
    structures = read_structure_set(path)
    values_zyx = np.zeros(grid.shape_zyx, np.uint16)
    for same in meanings:
        for region in same:
            for index, contours in _by_slice(contours_of(structures, region)[0], grid).items():
                inside = region_of(contours, grid.shape_zyx[1:], grid.spacing_mm_zyx[1:]).inside_yx
                if shared := int(np.count_nonzero(inside & ~np.isin(values_zyx[index], [0, *same]))):
                    problem = f"structure {region} shares {shared} voxels with another on slice {index + 1}"
                    raise Refusal.of("IN-22", path, problem, "correct the contours, or choose one structure")
                values_zyx[index][inside] = region
    return values_zyx


def _by_slice(contours: Sequence[Contour], grid: VoxelGrid) -> dict[int, list[PlanarContour]]:
    """Contours in pixels, by the index of their slice."""
    direction = np.array(grid.direction_xyz).reshape(3, 3)
    slices: dict[int, list[PlanarContour]] = {}
    for contour in contours:
        index_xyz = (contour.points_mm_xyz - np.array(grid.origin_mm_xyz)) @ direction / grid.spacing_mm_zyx[::-1]
        flat = PlanarContour(index_xyz[:, :2], contour.kind in _TOGGLING)
        slices.setdefault(round(slice_place(contour.points_mm_xyz, grid)), []).append(flat)
    return slices
