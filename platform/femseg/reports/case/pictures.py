"""The pictures of a case that need no script: planes through each femur, and a small one for the index page."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from femseg.intake.preview import Band, planes
from femseg.reports.case.scene import cropped
from femseg.reports.intake.pictures import Panel, panel
from femseg.reports.pages import webp
from femseg.volumes.grid import CtVolume, LabelVolume, MaskVolume, Triple

_EDGE_PIXELS = 440
_HEIGHTS = (95.0, 50.0, 5.0)  # through hip, shaft and knee of a whole femur
_MARGIN_MM = 18.0
_SMALL_PIXELS = 220
_YELLOW = (240, 228, 66)


@dataclass(frozen=True, slots=True, kw_only=True)
class FemurPlanes:
    """Panels to one scale: the tall ones beside each other, and the axial ones in a column.

    Attributes:
        axial_share: of the column's width.
    """

    tall: tuple[Panel, ...]
    axial: tuple[Panel, ...]
    axial_share: float


def femur_planes(ct: CtVolume, labels: LabelVolume, label: int, *, through_mm_xyz: Triple | None = None) -> FemurPlanes:
    """Planes through one femur of a mask, and around it 18 mm; or those through one place of it."""
    own = LabelVolume(labels_zyx=(labels.labels_zyx == label).view(np.uint8), grid=labels.grid)
    around, own = cropped(ct, own, _MARGIN_MM)
    mask = MaskVolume(femur_zyx=own.labels_zyx.view(np.bool_), grid=own.grid)
    heights = _HEIGHTS if through_mm_xyz is None else _HEIGHTS[:1]
    *axial, coronal, sagittal = planes(
        around, mask, edge_pixels=_EDGE_PIXELS, heights=heights, through_mm_xyz=through_mm_xyz
    )
    levels = tuple(Band(kind="level", axis=0, start=plane.at, stop=plane.at) for plane in axial)
    total_mm = sum(plane.grey.shape[1] * plane.pixel_mm for plane in (coronal, sagittal, axial[0]))
    drawn = tuple(panel(plane, (), total_mm) for plane in axial)
    return FemurPlanes(
        tall=tuple(panel(plane, levels, total_mm) for plane in (coronal, sagittal)),
        axial=drawn,
        axial_share=drawn[0].share,
    )


def small_picture(ct: CtVolume, labels: LabelVolume) -> bytes:
    """A coronal plane with the mask's outline, as WebP of at most 220 pixels an edge."""
    around, own = cropped(ct, labels, _MARGIN_MM)
    mask = MaskVolume(femur_zyx=own.labels_zyx > 0, grid=own.grid)
    _, coronal, _ = planes(around, mask, edge_pixels=2 * _SMALL_PIXELS)
    pixels = np.repeat(coronal.grey[..., None], 3, axis=2)
    if coronal.mask is not None:
        pixels[ndimage.binary_dilation(coronal.mask, iterations=2) & ~coronal.mask] = _YELLOW
    image = Image.fromarray(pixels)
    image.thumbnail((_SMALL_PIXELS, _SMALL_PIXELS), Image.Resampling.BOX)
    return webp(np.asarray(image), quality=75)
