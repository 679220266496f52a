"""The picture of a measurement sheet: the bone from the front, the side and along its shaft, with what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import NDArray
from scipy import ndimage

from femseg.measurements.definitions import DEFINITIONS
from femseg.measurements.sheet import Sheet
from femseg.reports.style import LIGHT, figure, pixels, png, styled, svg
from femseg.volumes.grid import MaskVolume

_PIXEL_MM = 0.8
_HIP_MM, _KNEE_MM = 110.0, 60.0  # of either end, seen along the shaft
_BLUE, _ORANGE, _GREEN, _PINK, *_ = LIGHT.modes
Shown = tuple[str, str, str, str]  # key and name of a line, its colour, what the legend says
_FRONT: tuple[Shown, ...] = (
    ("axes_angle", "mechanical axis", _BLUE, "mechanical axis"),
    ("axes_angle", "anatomical axis", _GREEN, "anatomical axis"),
    ("neck_shaft_angle", "neck axis", _ORANGE, "neck and proximal shaft axis"),
    ("neck_shaft_angle", "proximal shaft axis", _ORANGE, ""),
    ("femoral_offset", "femoral offset", _PINK, "femoral offset"),
    ("bicondylar_length", "bicondylar length", LIGHT.muted, "bicondylar length"),
    ("mldfa", "distal condylar line", _BLUE, ""),
    ("epicondylar_width", "transepicondylar line", _GREEN, ""),
)
_SIDE: tuple[Shown, ...] = (
    ("bow_radius", "shaft's centres", _PINK, "bow"),
    ("trochanteric_length", "trochanteric length", LIGHT.muted, "trochanteric length"),
    ("medial_depth", "medial condyle", _GREEN, "medial condyle"),
    ("canal_isthmus", "canal", _BLUE, "isthmus of the canal"),
)
_ABOVE: tuple[Shown, ...] = (
    ("version", "neck axis", _ORANGE, "neck axis and posterior condylar line"),
    ("version", "posterior condylar line", _ORANGE, ""),
    ("version_lee", "neck axis", _PINK, "neck axis: Lee"),
    ("version_reikeras", "neck axis", _BLUE, "Reikerås"),
    ("version_murphy", "neck axis", _GREEN, "Murphy"),
    ("condylar_angle", "transepicondylar line", LIGHT.muted, "transepicondylar line"),
)


def picture(sheets: Sequence[Sheet], masks: Sequence[MaskVolume], kind: str) -> bytes:
    """A figure with a row for each femur, as the bytes of a file.

    Args:
        kind: "svg" or "png".
    """
    with styled(LIGHT):
        drawn = figure(13.5, 8.6 * len(sheets))
        rows = drawn.subplots(len(sheets), 4, width_ratios=(1.0, 0.9, 1.15, 1.6), squeeze=False)
        for sheet, mask, (front, side, above, words) in zip(sheets, masks, rows, strict=True):
            _views(sheet, mask, front, side, above)
            _listed(sheet, words)
        return svg(drawn) if kind == "svg" else png(drawn)


def views(sheet: Sheet, mask: MaskVolume) -> NDArray[np.uint8]:
    """The bone alone with what was measured on it, shape (rows, columns, 4)."""
    with styled(LIGHT):
        drawn = figure(9.4, 8.6)
        front, side, above = drawn.subplots(1, 3, width_ratios=(1.0, 0.9, 1.15))
        _views(sheet, mask, front, side, above)
        return pixels(drawn)


def _views(sheet: Sheet, mask: MaskVolume, front: Axes, side: Axes, above: Axes) -> None:
    for axes in (front, side, above):
        axes.set_axis_off()
    if sheet.directions is None:
        return
    looking = sheet.directions
    middle, up, medial, anterior = (np.array(v) for v in (looking.middle, looking.up, looking.medial, looking.anterior))
    right = medial if sheet.side == "right" else -medial  # as the patient faces the reader
    voxels = np.argwhere(mask.femur_zyx)
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, voxels.shape)  # else voxels and pixels make a pattern
    places = mask.grid.positions_mm_xyz(voxels + spread) - middle
    height = places @ up
    lines = {(value.key, name): np.array(line) for value in sheet.values for name, line in value.lines}
    _bone(front, places @ right, height)
    _bone(side, places @ -anterior, height)
    _drawn(front, lines, _FRONT, middle, right, up)
    _drawn(side, lines, _SIDE, middle, -anterior, up)
    hip, knee = height > height.max() - _HIP_MM, height < height.min() + _KNEE_MM
    _bone(above, places[knee] @ right, places[knee] @ anterior, strength=0.25)
    _bone(above, places[hip] @ right, places[hip] @ anterior, strength=0.35)
    _drawn(above, lines, _ABOVE, middle, right, anterior)
    if (head := lines.get(("head_diameter", "head centre"))) is not None:
        radius = 0.5 * (sheet.value("head_diameter") or 0.0)
        for axes, across, along in ((front, right, up), (side, -anterior, up), (above, right, anterior)):
            centre = head[0] - middle
            axes.add_patch(
                Circle((float(centre @ across), float(centre @ along)), radius, fill=False, ec=_BLUE, lw=1.2)
            )
    for axes, title in ((front, "From the front"), (side, "From the side"), (above, "Along the shaft")):
        axes.set_title(title, loc="left")


def _bone(axes: Axes, across: NDArray[Any], along: NDArray[Any], strength: float = 0.75) -> None:
    """How much bone lies behind each pixel, as a radiograph shows it."""
    edges = [np.arange(v.min() - 6.0, v.max() + 6.0 + _PIXEL_MM, _PIXEL_MM) for v in (across, along)]
    thick = ndimage.gaussian_filter(np.histogram2d(along, across, bins=edges[::-1])[0], 1.2)
    shade = np.zeros((*thick.shape, 4))
    shade[..., :3] = (0.35, 0.40, 0.47)
    shade[..., 3] = strength * np.sqrt(np.clip(thick / max(float(thick.max()), 1e-9), 0.0, 1.0))
    extent = (float(edges[0][0]), float(edges[0][-1]), float(edges[1][0]), float(edges[1][-1]))
    axes.imshow(shade, origin="lower", extent=extent, interpolation="bilinear")
    axes.set_aspect("equal")


def _drawn(
    axes: Axes,
    lines: Mapping[tuple[str, str], NDArray[Any]],
    shown: Sequence[Shown],
    middle: NDArray[Any],
    across: NDArray[Any],
    along: NDArray[Any],
) -> None:
    for key, name, colour, label in shown:
        if (line := lines.get((key, name))) is not None:
            apart, dots = line - middle, 3.0 if len(line) < 5 else 0.0
            axes.plot(apart @ across, apart @ along, color=colour, lw=1.6, marker="o", ms=dots, label=label or None)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), fontsize=10)


def _listed(sheet: Sheet, axes: Axes) -> None:
    axes.set_axis_off()
    title = {"left": "Left femur", "right": "Right femur", None: "Femur, side unknown"}[sheet.side]
    axes.text(0.0, 1.0, title, weight="bold", fontsize=13, va="top", transform=axes.transAxes)
    step = 0.94 / (len(sheet.values) + 1)
    for row, value in enumerate(sheet.values):
        meant, y = DEFINITIONS[value.key], 0.95 - row * step
        unit = "" if meant.unit == "1" else f" {meant.unit}"
        text = value.refused if value.value is None else f"{value.value:.1f} ± {value.off_by:.1f}{unit}"
        colour = LIGHT.muted if value.value is None else LIGHT.ink
        axes.text(0.0, y, meant.title, fontsize=7.5, va="top", color=colour, transform=axes.transAxes)
        axes.text(0.58, y, text, fontsize=7.5, va="top", color=colour, transform=axes.transAxes)
