"""Checked files in, voxels out: SimpleITK reads the pixels, our own check decides their order and their place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.errors import Fault, Refusal
from femseg.volumes.files.dicom_headers import OtherObject, SliceHeader, read_slice_header
from femseg.volumes.files.dicom_seg import draw_segmentation
from femseg.volumes.files.itk import array_of, itk_reading
from femseg.volumes.files.multiframe import read_multiframe
from femseg.volumes.files.rtstruct import draw_structure_set
from femseg.volumes.files.slice_stack import stack_grid
from femseg.volumes.files.source import CheckedVolume, FileKind, Source
from femseg.volumes.files.volume_file import image_information
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.volume import CtVolume, MaskVolume

_DRAWN: tuple[FileKind, ...] = ("dicom-seg", "rtstruct")
_SMALL_INTEGERS = (sitk.sitkUInt8, sitk.sitkInt8, sitk.sitkUInt16, sitk.sitkInt16)


def read_ct(source: Source, root: Path) -> CtVolume:
    """Read a CT whose files were checked before; its array is read-only and the only copy in memory.

    Args:
        source: files relative to `root`, DICOM slices in stack order.
    Raises: Refusal if a file cannot be read (IN-14, IN-16, IN-26).
    """
    paths = source.paths(root)
    if source.kind == "multiframe":
        return read_multiframe(paths[0])
    grid = _dicom_grid(paths) if source.kind == "dicom" else None
    return _ct(paths, grid)


def read_checked_ct(volume: CheckedVolume) -> CtVolume:
    """The same for a volume that has just been checked."""
    if volume.kind == "multiframe":
        return read_multiframe(volume.paths[0])
    return _ct(volume.paths, volume.grid if volume.kind == "dicom" else None)


def read_labels(source: Source, root: Path, ct_grid: VoxelGrid) -> tuple[NDArray[np.generic], VoxelGrid]:
    """A mask's voxel values as stored, shape (Z, Y, X), and its grid; float32 where they are not small integers.

    Args:
        ct_grid: the CT's, on which a DICOM-SEG or RTSTRUCT is drawn; other masks have their own.
    """
    paths = source.paths(root)
    if source.kind in _DRAWN:
        return _drawn(source.kind, paths[0], ct_grid, [source.labels]), ct_grid
    return _labels(paths, _dicom_grid(paths) if source.kind == "dicom" else None)


def read_checked_labels(volume: CheckedVolume, meanings: Sequence[Sequence[int]] = ()) -> NDArray[np.generic]:
    """The same for a mask that has just been checked.

    Args:
        meanings: of a mask that is drawn, which values to draw; those that mean the same, and may overlap, together.
    Raises: Refusal IN-22 if values of different meaning overlap.
    """
    if volume.kind in _DRAWN:
        return _drawn(volume.kind, volume.paths[0], volume.grid, meanings)
    return _labels(volume.paths, volume.grid if volume.kind == "dicom" else None)[0]


def read_mask(source: Source, root: Path, ct_grid: VoxelGrid) -> MaskVolume:
    """Read a mask: voxels whose value is among `source.labels` (every non-zero one if there are none)."""
    values, grid = read_labels(source, root, ct_grid)
    return MaskVolume(femur_zyx=of_labels(values, source.labels), grid=grid)


def of_labels(values_zyx: NDArray[np.generic], labels: Sequence[int]) -> NDArray[np.bool_]:
    """Voxels whose value is one of `labels`; every non-zero one if there are none."""
    return np.isin(values_zyx, list(labels)) if labels else values_zyx != 0


def _drawn(kind: FileKind, path: Path, grid: VoxelGrid, meanings: Sequence[Sequence[int]]) -> NDArray[np.uint16]:
    if kind == "rtstruct":
        return draw_structure_set(path, grid, meanings)
    return draw_segmentation(_slice(path), grid, meanings)


def _ct(paths: Sequence[Path], dicom_grid: VoxelGrid | None) -> CtVolume:
    if dicom_grid is not None:
        return CtVolume(hu_zyx=array_of(_series(paths)), grid=dicom_grid)
    image = _file(paths[0], sitk.sitkFloat32)
    return CtVolume(hu_zyx=array_of(image), grid=VoxelGrid.of_image(image))


def _labels(paths: Sequence[Path], dicom_grid: VoxelGrid | None) -> tuple[NDArray[np.generic], VoxelGrid]:
    if dicom_grid is not None:
        return array_of(_series(paths)), dicom_grid
    stored = image_information(paths[0]).GetPixelID()
    image = _file(paths[0], stored if stored in _SMALL_INTEGERS else sitk.sitkFloat32)
    return array_of(image), VoxelGrid.of_image(image)


def _series(paths: Sequence[Path]) -> sitk.Image:
    """A DICOM series as float32, rescaled slice by slice, in exactly the order given."""
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(path) for path in paths])
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        with itk_reading(str(paths[0].parent)):
            image: sitk.Image = reader.Execute()
    except Refusal:
        for path in paths:  # ITK does not say which slice it was; one of these may
            _file(path, sitk.sitkFloat32)
        raise
    return image


def _file(path: Path, pixel_type: int) -> sitk.Image:
    with itk_reading(str(path)):
        image = sitk.ReadImage(str(path), pixel_type)
    return image[:, :, :, 0] if image.GetDimension() == 4 else image


def _dicom_grid(paths: Sequence[Path]) -> VoxelGrid:
    """The grid, from the two ends of the stack; the slices between were found regular by the check."""
    first, last = _slice(paths[0]), _slice(paths[-1])
    ends = stack_grid([first, last])
    _, y, x = ends.spacing_mm_zyx
    return VoxelGrid(
        shape_zyx=(len(paths), *ends.shape_zyx[1:]),
        spacing_mm_zyx=(ends.spacing_mm_zyx[0] / (len(paths) - 1), y, x),
        origin_mm_xyz=ends.origin_mm_xyz,
        direction_xyz=ends.direction_xyz,
    )


def _slice(path: Path) -> SliceHeader:
    header = read_slice_header(path)
    if isinstance(header, OtherObject):
        raise Refusal(
            Fault(id="IN-14", file=str(path), problem=f"holds no image ({header.kind})", fix="run `femseg check` again")
        )
    return header
