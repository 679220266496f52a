"""CTs and masks read without femseg: pydicom, nibabel, and a few lines for NRRD and MHA. Every voxel with its place.

Nothing here sorts, stacks or averages: each slice's voxels lie where that slice's own header says.
"""

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

_TYPES = {"short": "i2", "int16": "i2", "uchar": "u1", "unsigned char": "u1", "double": "f8", "float": "f4"}
_MET_TYPES = {"MET_SHORT": "i2", "MET_UCHAR": "u1", "MET_INT": "i4", "MET_FLOAT": "f4", "MET_DOUBLE": "f8"}


@dataclass(frozen=True)
class Voxels:
    """Values of shape (n,) and where they lie in the patient, LPS millimetres, shape (n, 3)."""

    values: NDArray[np.float64]
    positions_mm: NDArray[np.float64]


def read_ct(study: Path) -> Voxels:
    """The CT in a study's folder: its CT slices, localizers and byte-equal copies left out, or the file called ct."""
    slices = [one for one in _dicom_files(study) if one.Modality == "CT" and "LOCALIZER" not in one.ImageType]
    return _of_slices(slices) if slices else _of_file(study, "ct")


def read_mask(study: Path) -> Voxels:
    """The mask in a study's folder: its slices of modality OT, or the file called mask."""
    slices = [one for one in _dicom_files(study) if one.Modality == "OT"]
    return _of_slices(slices) if slices else _of_file(study, "mask")


def _dicom_files(study: Path) -> list[pydicom.FileDataset]:
    files = [path for path in sorted(study.rglob("*")) if path.is_file()]
    return [pydicom.dcmread(path) for path in files if path.read_bytes()[128:132] == b"DICM"]


def _of_slices(slices: list[pydicom.FileDataset]) -> Voxels:
    values, positions, seen = [], [], set()
    for one in slices:
        if one.SOPInstanceUID in seen:
            continue
        seen.add(one.SOPInstanceUID)
        row, column = np.split(np.array(one.ImageOrientationPatient, float), 2)
        between_rows, between_columns = map(float, one.PixelSpacing)
        y, x = np.indices((one.Rows, one.Columns))
        place = np.array(one.ImagePositionPatient, float)
        place = place + x[..., None] * between_columns * row + y[..., None] * between_rows * column
        stored = one.pixel_array.astype(float)
        values.append(stored * float(one.get("RescaleSlope", 1)) + float(one.get("RescaleIntercept", 0)))
        positions.append(place)
    return Voxels(np.concatenate([v.ravel() for v in values]), np.concatenate([p.reshape(-1, 3) for p in positions]))


def _of_file(study: Path, stem: str) -> Voxels:
    (path,) = [path for path in study.iterdir() if path.name.split(".")[0] == stem]
    if ".nii" in path.name:
        image = nib.load(path)
        values = image.get_fdata().reshape(image.shape[:3])
        return _on_affine(values, np.diag([-1.0, -1, 1, 1]) @ image.affine)
    return _of_nrrd(path) if path.suffix == ".nrrd" else _of_mha(path)


def on_grid(values_zyx: NDArray[np.generic], spacing_zyx: Sequence[float], origin_xyz: Sequence[float]) -> Voxels:
    """An array along the patient's axes (x to the left, y to the back, z to the head)."""
    affine = np.diag([*spacing_zyx[::-1], 1.0])
    affine[:3, 3] = origin_xyz
    return _on_affine(values_zyx.transpose(2, 1, 0).astype(float), affine)


def interpolated(
    values_zyx: NDArray[np.generic], affine_lps: NDArray[np.float64], places_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values of an array on a grid (4 × 4, index to LPS millimetres) at places of shape (n, 3), linear in between."""
    index_xyz = np.linalg.solve(affine_lps[:3, :3], (places_mm - affine_lps[:3, 3]).T)
    return map_coordinates(values_zyx.astype(float), index_xyz[::-1], order=1, mode="nearest")


def _on_affine(values_xyz: NDArray[np.float64], affine_lps: NDArray[np.float64]) -> Voxels:
    index = np.indices(values_xyz.shape).reshape(3, -1)
    return Voxels(values_xyz.ravel(), (affine_lps[:3, :3] @ index).T + affine_lps[:3, 3])


def _of_nrrd(path: Path) -> Voxels:
    head, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(re.findall(r"^([a-z ]+): (.*)$", head.decode(), re.MULTILINE))
    numbers = {
        name: np.array(re.findall(r"[-\d.e+]+", fields[name]), float) for name in ("space directions", "space origin")
    }
    sizes = [int(size) for size in fields["sizes"].split()]
    order = ">" if fields.get("endian") == "big" else "<"
    raw = gzip.decompress(body) if fields["encoding"].startswith("gz") else body
    values = np.frombuffer(raw, order + _TYPES[fields["type"]]).reshape(sizes, order="F").astype(float)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = numbers["space directions"].reshape(3, 3).T, numbers["space origin"]
    space = fields["space"] if "-" not in fields["space"] else "".join(w[0] for w in fields["space"].split("-"))
    signs = [1.0 if letter.upper() in "LPS" else -1.0 for letter in space]
    return _on_affine(values, np.diag([*signs, 1.0]) @ affine)


def _of_mha(path: Path) -> Voxels:
    head, _, body = path.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    fields = dict(re.findall(r"^(\w+) = (.*)$", head.decode(), re.MULTILINE))
    raw = zlib.decompress(body) if fields["CompressedData"] == "True" else body
    sizes = [int(size) for size in fields["DimSize"].split()]
    values = np.frombuffer(raw, "<" + _MET_TYPES[fields["ElementType"]]).reshape(sizes, order="F").astype(float)
    affine = np.eye(4)
    matrix = np.array(fields["TransformMatrix"].split(), float).reshape(3, 3)  # one axis of the image in each row
    affine[:3, :3] = matrix.T * np.array(fields["ElementSpacing"].split(), float)
    affine[:3, 3] = np.array(fields["Offset"].split(), float)
    return _on_affine(values, affine)


def largest_difference(
    truth: Voxels, values_zyx: NDArray[np.generic], affine_lps: NDArray[np.float64]
) -> tuple[float, float]:
    """How far an array on a grid is from a reading, whatever its axis order: the largest value and place differences.

    Args:
        values_zyx: shape (Z, Y, X).
        affine_lps: 4 × 4, index (x, y, z) to LPS millimetres.
    Returns: largest absolute difference of values, and of places in millimetres; infinity if voxels are missing, or
        are there that should not be.
    """
    index = np.linalg.solve(affine_lps[:3, :3], (truth.positions_mm - affine_lps[:3, 3]).T)  # (3, n)
    nearest = np.rint(index)
    shape_xyz = values_zyx.shape[::-1]
    inside = ((nearest >= 0) & (nearest < np.array(shape_xyz)[:, None])).all()
    if not inside or values_zyx.size != truth.values.size:
        return float("inf"), float("inf")
    x, y, z = nearest.astype(int)
    if len(np.unique(np.ravel_multi_index((z, y, x), values_zyx.shape))) != values_zyx.size:
        return float("inf"), float("inf")
    places = np.linalg.norm(affine_lps[:3, :3] @ (index - nearest), axis=0)
    return float(np.abs(values_zyx[z, y, x] - truth.values).max()), float(places.max())
