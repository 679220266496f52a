"""Files read by libraries that share no code with femseg's own readers, as places in the patient (LPS, mm)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from femseg.selftest.phantom import SIDES

Points = NDArray[np.float64]  # shape (n, 3)


def by_nibabel(path: Path) -> dict[int, Points]:
    """Voxels of each label of a NIfTI file; its affine goes to RAS."""
    import nibabel  # a site may have it

    image: Any = nibabel.load(path)
    values_xyz = np.asanyarray(image.dataobj)
    to_lps = np.diag((-1.0, -1.0, 1.0, 1.0)) @ image.affine
    return {label: _placed(np.argwhere(values_xyz == label), to_lps) for label in SIDES}


def by_simpleitk(path: Path) -> dict[int, Points]:
    """Voxels of each label of a volume file, from origin, spacing and direction, which go to LPS."""
    image = sitk.ReadImage(str(path))
    values_xyz = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    to_lps = np.eye(4)
    to_lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    to_lps[:3, 3] = image.GetOrigin()
    return {label: _placed(np.argwhere(values_xyz == label), to_lps) for label in SIDES}


def _placed(indices: NDArray[np.integer[Any]], affine: Points) -> Points:
    return np.asarray(indices @ affine[:3, :3].T + affine[:3, 3])


def segments(path: Path) -> dict[int, Points]:
    """Voxels of each side of a DICOM-SEG, by pydicom and the formula of PS3.3 C.7.6.2.1.1."""
    read = pydicom.dcmread(path)
    sides = {one.SegmentNumber: _label_of(one.SegmentLabel) for one in read.SegmentSequence}
    shared = read.SharedFunctionalGroupsSequence[0]
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    found: dict[int, list[Points]] = {label: [] for label in SIDES}
    stored = read.pixel_array
    for frame, group in zip(
        stored[None] if stored.ndim == 2 else stored, read.PerFrameFunctionalGroupsSequence, strict=True
    ):
        origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        identified = (group if "SegmentIdentificationSequence" in group else shared).SegmentIdentificationSequence[0]
        found[sides[identified.ReferencedSegmentNumber]].append(origin + _in_plane(frame, spacing) @ axes)
    return {label: np.concatenate([*places, np.empty((0, 3))]) for label, places in found.items()}


def regions(path: Path, ct: Mapping[str, pydicom.Dataset]) -> dict[int, Points]:
    """Voxels of each side of an RTSTRUCT: pixels of its CT whose centres lie in the contours, by matplotlib.

    Args:
        ct: slices by their SOPInstanceUID.
    Raises: ValueError if a contour leaves the plane of its slice by more than 1e-3 mm, or the voxels' edges.
    """
    read = pydicom.dcmread(path)
    names = {region.ROINumber: region.ROIName for region in read.StructureSetROISequence}
    found: dict[int, list[Points]] = {label: [] for label in SIDES}
    for region in read.ROIContourSequence:
        for contour in region.ContourSequence:
            slice_ = ct[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            origin = np.array(slice_.ImagePositionPatient, float)
            axes = np.array(slice_.ImageOrientationPatient, float).reshape(2, 3)
            spacing = np.array(slice_.PixelSpacing, float)
            offsets = np.array(contour.ContourData, float).reshape(-1, 3) - origin
            along_xy = offsets @ axes.T
            beside_mm = max(
                float(np.abs(offsets @ np.cross(*axes)).max()),
                float(np.abs(_off_edges(along_xy / spacing[::-1]) * spacing[::-1]).max()),
            )
            if beside_mm > 1e-3:
                raise ValueError(f"a contour lies {beside_mm:.3g} mm beside the edges of its slice's voxels")
            centres = np.indices((slice_.Rows, slice_.Columns))[::-1].reshape(2, -1).T
            outline_xy = along_xy / spacing[::-1]
            inside = Outline(np.concatenate([outline_xy, outline_xy[:1]]), closed=True).contains_points(centres)
            pixels = _in_plane(inside.reshape(slice_.Rows, slice_.Columns), spacing)
            found[_label_of(names[region.ReferencedROINumber])].append(origin + pixels @ axes)
    return {label: np.concatenate([*places, np.empty((0, 3))]) for label, places in found.items()}


def _off_edges(xy: Points) -> Points:
    return np.asarray(xy - 0.5 - np.round(xy - 0.5))


def _in_plane(pixels: NDArray[Any], spacing_mm_yx: Points) -> Points:
    """Set pixels as millimetres along a row and down a column, shape (n, 2)."""
    return np.asarray((np.argwhere(pixels) * spacing_mm_yx)[:, ::-1])


def _label_of(name: str) -> int:
    return next(label for label, side in SIDES.items() if name == f"{side} femur")


def vertices(path: Path, frame: str) -> tuple[Points, float]:
    """Vertices of a mesh and the volume it encloses (mm³, below 0 if it is inside out), by trimesh.

    By what the formats' documents say: STL, PLY and 3MF in millimetres of the frame; GLB in metres, x left, y superior,
    z anterior.
    """
    import trimesh  # the extra `mesh`

    loaded: Any = trimesh.load_scene(path).to_mesh()
    points = np.asarray(loaded.vertices, np.float64)
    if path.suffix == ".glb":
        x, y, z = points.T * 1000.0
        return np.stack([x, -z, y], axis=1), float(loaded.volume) * 1e9
    return points * ((-1.0, -1.0, 1.0) if frame == "RAS" else (1.0, 1.0, 1.0)), float(loaded.volume)
