"""Which slices show a femur best, and how a slice is drawn in millimetres."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from femseg.cohorts.store import ArrayStore
from femseg.reports.comparison.evidence import CasePicture
from femseg.reports.style import VIEWER, figure, png, styled

Plane = Literal["coronal", "sagittal", "axial"]
ANNOTATION = "#F0E442"
_MARGIN_MM = 18.0
_HALO = "#000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of a case that is worth showing: a box around its femur, and one slice of each plane.

    Attributes:
        box: index ranges along (z, y, x): all masks and a margin.
        coronal_y, sagittal_x, axial_z: indices inside the box of the slices with most annotated femur.
    """

    box: tuple[slice, slice, slice]
    coronal_y: int
    sagittal_x: int
    axial_z: int

    def size_mm_zyx(self, spacing_mm_zyx: tuple[float, float, float]) -> tuple[float, float, float]:
        """Edge lengths of the box."""
        z, y, x = ((axis.stop - axis.start) * s for axis, s in zip(self.box, spacing_mm_zyx, strict=True))
        return (z, y, x)

    def cut(self, volume_zyx: NDArray[np.generic], plane: Plane) -> NDArray[np.generic]:
        """One slice of a volume, cropped to the box: (Z, X), (Z, Y) or (Y, X)."""
        boxed = volume_zyx[self.box]
        match plane:
            case "coronal":
                return boxed[:, self.coronal_y, :]
            case "sagittal":
                return boxed[:, :, self.sagittal_x]
            case "axial":
                return boxed[self.axial_z, :, :]

    def through(self, place_zyx: tuple[int, int, int]) -> "Window":
        """The same part of the case, cut through a voxel of the whole volume instead."""
        z, y, x = (index - axis.start for index, axis in zip(place_zyx, self.box, strict=True))
        return replace(self, coronal_y=y, sagittal_x=x, axial_z=z)


def window_on(case: CasePicture) -> Window:
    """Frame a case; a case without any femur shows its whole volume through the middle."""
    anything = np.logical_or.reduce([case.reference_zyx, *case.predicted_zyx.values()])
    shown = case.reference_zyx if case.reference_zyx.any() else anything
    z, y, x = (_range(anything, axis, case.spacing_mm_zyx[axis]) for axis in range(3))
    boxed = shown[z, y, x]
    middle = tuple(n // 2 for n in boxed.shape)
    return Window(
        box=(z, y, x),
        coronal_y=int(boxed.sum(axis=(0, 2)).argmax()) if boxed.any() else middle[1],
        sagittal_x=int(boxed.sum(axis=(0, 1)).argmax()) if boxed.any() else middle[2],
        axial_z=int(boxed.sum(axis=(1, 2)).argmax()) if boxed.any() else middle[0],
    )


def _range(mask: NDArray[np.bool_], axis: int, spacing_mm: float) -> slice:
    filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
    if not filled.size:
        return slice(0, mask.shape[axis])
    margin = round(_MARGIN_MM / spacing_mm)
    return slice(max(0, int(filled[0]) - margin), min(mask.shape[axis], int(filled[-1]) + 1 + margin))


def extent_mm(
    shape: tuple[int, ...], spacing_mm: tuple[float, float], plane: Plane
) -> tuple[float, float, float, float]:
    """Where a slice lies in millimetres: head up, or in axial slices the front of the body; sagittal: front left."""
    height, width = shape[0] * spacing_mm[0], shape[1] * spacing_mm[1]
    return (0.0, width, height, 0.0) if plane == "axial" else (0.0, width, 0.0, height)


def in_plane_mm(spacing_mm_zyx: tuple[float, float, float], plane: Plane) -> tuple[float, float]:
    """Row and column spacing of a slice."""
    z, y, x = spacing_mm_zyx
    return {"coronal": (z, x), "sagittal": (z, y), "axial": (y, x)}[plane]


def draw_slice(axes: Axes, case: CasePicture, window: Window, volume_zyx: NDArray[np.generic], plane: Plane) -> None:
    """Draw one slice in grey, true to scale; soft tissue dark, the brightest bone white."""
    image = window.cut(volume_zyx, plane)
    lowest, tissue, high = np.percentile(volume_zyx[window.box].astype(float), (0, 50, 99.8))
    low = max(lowest, tissue - (high - tissue) / 4)
    axes.imshow(
        image,
        cmap="gray",
        vmin=low,
        vmax=max(high, low + 1e-6),
        origin="upper" if plane == "axial" else "lower",
        extent=extent_mm(image.shape, in_plane_mm(case.spacing_mm_zyx, plane), plane),
        interpolation="bilinear",
        aspect="equal",
    )


def draw_outline(
    axes: Axes,
    case: CasePicture,
    window: Window,
    mask_zyx: NDArray[np.bool_],
    plane: Plane,
    *,
    colour: str,
    width: float,
) -> None:
    """Draw the outline of a mask over a slice; nothing if the mask does not meet it."""
    mask = window.cut(mask_zyx, plane)
    if not mask.any():
        return
    rows_mm, columns_mm = in_plane_mm(case.spacing_mm_zyx, plane)
    ringed = np.pad(mask.astype(float), 1)  # a mask that touches the frame still gets a closed outline
    centres_y = (np.arange(ringed.shape[0]) - 0.5) * rows_mm
    centres_x = (np.arange(ringed.shape[1]) - 0.5) * columns_mm
    frame = axes.axis()
    drawn = axes.contour(centres_x, centres_y, ringed, levels=[0.5], colors=[colour], linewidths=width)
    drawn.set_path_effects([withStroke(linewidth=width + 1.4, foreground=_HALO, alpha=0.55)])
    axes.axis(frame)  # the ring would widen the view by a voxel


def panel(made: Figure, left_in: float, top_in: float, width_in: float, height_in: float) -> Axes:
    """Axes without ticks at a place in inches from the figure's upper left corner."""
    width, height = made.get_size_inches()
    axes = made.add_axes((left_in / width, 1 - (top_in + height_in) / height, width_in / width, height_in / height))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return axes


def draw_scale_bar(axes: Axes) -> None:
    """A bar of a round length at the lower left of a slice."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    length = max((n for n in (5, 10, 20, 50, 100) if n <= (right - left) * 0.45), default=5)
    x, y = left + 0.06 * (right - left), bottom + 0.03 * (top - bottom)
    axes.plot([x, x + length], [y, y], color="white", linewidth=2.2, solid_capstyle="butt")
    words = axes.annotate(
        f"{length} mm", (x, y), (0, 3), textcoords="offset points", color="white", fontsize=8, ha="left"
    )
    words.set_path_effects([withStroke(linewidth=2, foreground=_HALO)])


_PANEL_IN = 2.3
_GAP_IN = 0.12
_HEAD_IN = 0.62
_TITLES = ("CT\n(raw input)", "gradient magnitude\n(gradient input)", "annotated femur\n(to be found)")


def input_slices(case: CasePicture) -> bytes:
    """PNG of a coronal and an axial slice: CT, its gradient magnitude, and the CT with the annotation outlined."""
    window = window_on(case)
    z_mm, y_mm, x_mm = window.size_mm_zyx(case.spacing_mm_zyx)
    coronal_in, axial_in = _PANEL_IN * z_mm / x_mm, _PANEL_IN * y_mm / x_mm
    with styled(VIEWER):
        made = figure(3 * _PANEL_IN + 4 * _GAP_IN, _HEAD_IN + coronal_in + axial_in + 2 * _GAP_IN, arranged=False)
        for column, volume in enumerate((case.ct_zyx, case.gradient_zyx, case.ct_zyx)):
            left = _GAP_IN + column * (_PANEL_IN + _GAP_IN)
            coronal = panel(made, left, _HEAD_IN, _PANEL_IN, coronal_in)
            axial = panel(made, left, _HEAD_IN + coronal_in + _GAP_IN, _PANEL_IN, axial_in)
            coronal.set_title(_TITLES[column])
            draw_slice(coronal, case, window, volume, "coronal")
            draw_slice(axial, case, window, volume, "axial")
            if column == 0:
                draw_scale_bar(coronal)
                draw_scale_bar(axial)
        draw_outline(coronal, case, window, case.reference_zyx, "coronal", colour=ANNOTATION, width=1.6)
        draw_outline(axial, case, window, case.reference_zyx, "axial", colour=ANNOTATION, width=1.6)
        return png(made)


def read_picture(case_id: str, *, arrays: Path, evaluated: Mapping[str, Path]) -> CasePicture:
    """One test case, and what each model made of it.

    Args:
        arrays: the folder of the array stores; every array is compared with its index.
        evaluated: by input mode the folder with what `evaluate` left.
    """
    masks = ArrayStore.open(arrays / "mask")
    return CasePicture(
        case_id=case_id,
        spacing_mm_zyx=masks.entry(case_id).network_grid.spacing_mm_zyx,
        ct_zyx=ArrayStore.open(arrays / "raw").load(case_id),
        gradient_zyx=ArrayStore.open(arrays / "gradient").load(case_id),
        reference_zyx=masks.load(case_id),
        predicted_zyx={
            mode: np.load(folder / "network_grid" / f"{case_id}.npy", allow_pickle=False)
            for mode, folder in evaluated.items()
        },
    )
