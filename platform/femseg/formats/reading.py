"""Checked files in, voxels out: SimpleITK reads the pixels, our own check decides their order and their place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from femseg.errors import Refusal
from femseg.formats.dicom.headers import OtherObject, SliceHeader, read_slice_header
from femseg.formats.dicom.mending import MendPlan, mend_plan, mended_ct, mended_labels
from femseg.formats.dicom.multiframe import read_multiframe
from femseg.formats.dicom.rtstruct import draw_structure_set
from femseg.formats.dicom.segmentation import draw_segmentation
from femseg.formats.dicom.stack import stack_grid
from femseg.formats.itk import array_of, itk_reading
from femseg.formats.nifti import nifti_2_voxels
from femseg.formats.plausible import place_in
from femseg.formats.source import CheckedVolume, Mend, Source, files_to_open
from femseg.formats.structures import numbered
from femseg.formats.volume_file import is_nifti, volume_reader, volume_suffix
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid

_SMALL_INTEGERS = (sitk.sitkUInt8, sitk.sitkInt8, sitk.sitkUInt16, sitk.sitkInt16)

Meanings = Sequence[Sequence[int]]


def read_ct(source: Source, root: Path) -> CtVolume:
    """Read a CT whose files were checked before; its array is read-only and the only copy in memory.

    Args:
        source: files relative to `root`, DICOM slices in stack order.
    Raises: Refusal if a file cannot be read (IN-14, IN-16, IN-26).
    """
    return _ct(source, source.paths(root))


def read_checked_ct(volume: CheckedVolume) -> CtVolume:
    """The same for a volume that has just been checked."""
    return _ct(volume, volume.paths)


def read_mask(source: Source, root: Path, ct_grid: VoxelGrid) -> MaskVolume:
    """Read a mask: voxels whose value is among `source.labels`.

    Args:
        ct_grid: the CT's, on which a DICOM-SEG or RTSTRUCT is drawn, and a cropped mask placed; others have their own.
    """
    values, grid = _labels(source, source.paths(root), ct_grid, [source.labels])
    return MaskVolume(femur_zyx=of_labels(values, source.labels), grid=grid)


def read_checked_labels(volume: CheckedVolume, meanings: Meanings = ()) -> NDArray[np.generic]:
    """The values of a mask that has just been checked, shape (Z, Y, X); float32 where they are not small integers.

    Args:
        meanings: of a mask that is drawn, which values to draw; those that mean the same, and may overlap, together.
    Raises: Refusal IN-22 if values of different meaning overlap.
    """
    return _labels(volume, volume.paths, volume.grid, meanings)[0]


def of_labels(values_zyx: NDArray[np.generic], labels: Sequence[int]) -> NDArray[np.bool_]:
    """Voxels whose value is one of `labels`; none if there are none."""
    found_zyx = np.zeros(values_zyx.shape, np.bool_)
    for values_yx, found_yx in zip(values_zyx, found_zyx, strict=True):  # in the processor's cache
        for label in labels:  # a few; np.isin takes five times as long
            found_yx |= values_yx == label
    return found_zyx


def _ct(what: Source | CheckedVolume, files: Sequence[Path]) -> CtVolume:
    paths = files_to_open(what.kind, files)
    if what.kind == "multiframe":
        return read_multiframe(paths[0])
    if what.kind == "volume":
        if second := _nifti_2(paths[0]):
            return CtVolume(hu_zyx=second[0].astype(np.float32), grid=second[1])
        image = _file(paths[0], sitk.sitkFloat32)
        return CtVolume(hu_zyx=array_of(image), grid=VoxelGrid.of_image(image))
    hu_zyx = array_of(_series(paths))
    if what.mends:
        plan = _plan(paths, what.mends)
        return CtVolume(hu_zyx=mended_ct(hu_zyx, plan), grid=plan.grid)
    return CtVolume(hu_zyx=hu_zyx, grid=_dicom_grid(paths))


def _labels(
    what: Source | CheckedVolume, files: Sequence[Path], ct_grid: VoxelGrid, meanings: Meanings
) -> tuple[NDArray[np.generic], VoxelGrid]:
    paths = files_to_open(what.kind, files)
    if what.kind == "rtstruct":
        return draw_structure_set(paths[0], ct_grid, meanings), ct_grid
    if what.kind == "dicom-seg":
        return draw_segmentation(_slice(paths[0]), ct_grid, meanings), ct_grid
    if what.kind == "volume":
        return _placed(*_labels_of_files(paths), ct_grid)
    values_zyx = array_of(_series(paths))
    if what.mends:
        plan = _plan(paths, what.mends)
        return mended_labels(values_zyx, plan), plan.grid
    return values_zyx, _dicom_grid(paths)


def _placed(
    values_zyx: NDArray[np.generic], grid: VoxelGrid, ct_grid: VoxelGrid
) -> tuple[NDArray[np.generic], VoxelGrid]:
    """A mask that was cropped to what it shows, on the CT's whole grid; any other as it is."""
    start = place_in(ct_grid, grid)
    if start is None:
        return values_zyx, grid
    whole = np.zeros(ct_grid.shape_zyx, values_zyx.dtype)
    whole[tuple(slice(k, k + n) for k, n in zip(start, grid.shape_zyx, strict=True))] = values_zyx
    return whole, ct_grid


def _nifti_2(path: Path) -> tuple[NDArray[np.generic], VoxelGrid] | None:
    return nifti_2_voxels(path) if is_nifti(path) else None


def _labels_of_files(paths: Sequence[Path]) -> tuple[NDArray[np.generic], VoxelGrid]:
    if len(paths) > 1:
        structures = {path: _labels_of_files([path]) for path in paths}
        return numbered((path, values) for path, (values, _) in structures.items()), structures[paths[0]][1]
    if second := _nifti_2(paths[0]):
        return second
    reader = volume_reader(paths[0])
    with itk_reading(str(paths[0])):
        reader.ReadImageInformation()
    stored = reader.GetPixelID()
    image = _file(paths[0], stored if stored in _SMALL_INTEGERS else sitk.sitkFloat32)
    return array_of(image), VoxelGrid.of_image(image)


def _plan(paths: Sequence[Path], mends: Sequence[Mend]) -> MendPlan:
    """Made anew from the headers at every reading: the same files give the same plan."""
    return mend_plan([_slice(path) for path in paths], mends)


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
    reader = volume_reader(path) if volume_suffix(path) else sitk.ImageFileReader()
    reader.SetFileName(str(path))
    if not volume_suffix(path):
        reader.SetImageIO("GDCMImageIO")
    reader.SetOutputPixelType(pixel_type)
    with itk_reading(str(path)):
        image: sitk.Image = reader.Execute()
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
        raise Refusal.of("IN-14", path, f"holds no image ({header.kind})", "run `femseg check` again")
    return header
