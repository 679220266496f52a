"""The pictures of a study as SVG: three planes to one scale, the mask's outline, patient letters, and what is amiss."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femseg.intake.preview import Band, Plane, PlaneName, Preview
from femseg.reports.pages import data_uri, webp

_LETTERS = {"axial": ("A", "P", "R", "L"), "coronal": ("S", "I", "R", "L"), "sagittal": ("S", "I", "A", "P")}
_AXES = {"axial": (1, 2), "coronal": (0, 2), "sagittal": (0, 1)}  # of rows and columns, in LPS order (z, y, x)
_LETTER_SHARE = 0.03  # of the width of all planes
_RING_MM = 16.0
_SCALE_BAR_MM = (100, 50, 20, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One plane, ready to be drawn; lengths are in its own pixels.

    Attributes:
        share: its part of the card's width: all planes of a study are drawn to one scale.
        image: data URI.
        outline: SVG path round the mask.
        bands: rectangles (kind, x, y, width, height).
        ring: centre and radius (x, y, r) about a place to look at; None where there is none.
        letters: (text, x, y), where the patient's sides are.
        bar_mm, bar: length of the scale bar in mm and in pixels; 0 where it would not fit.
    """

    name: PlaneName
    width: int
    height: int
    share: float
    image: str
    outline: str
    bands: tuple[tuple[str, float, float, float, float], ...]
    ring: tuple[float, float, float] | None
    letters: tuple[tuple[str, float, float], ...]
    letter_size: float
    bar_mm: int
    bar: float


def panels(preview: Preview) -> tuple[Panel, ...]:
    """The planes of a preview, to one scale."""
    total_mm = sum(plane.grey.shape[1] * plane.pixel_mm for plane in preview.planes)
    return tuple(panel(plane, preview.bands, total_mm) for plane in preview.planes)


def panel(plane: Plane, bands: tuple[Band, ...], total_mm: float) -> Panel:
    """One plane; all that share a row are drawn to the scale of its width in mm."""
    height, width = plane.grey.shape
    width_mm = width * plane.pixel_mm
    size = _LETTER_SHARE * total_mm / plane.pixel_mm
    top, bottom, left, right = _LETTERS[plane.name]
    edge = 0.75 * size
    bar_mm = next((mm for mm in _SCALE_BAR_MM if mm < 0.45 * width_mm), 0) if plane.name == "axial" else 0
    return Panel(
        name=plane.name,
        width=width,
        height=height,
        share=width_mm / total_mm,
        image=data_uri(webp(plane.grey), "webp"),
        outline=outline_path(plane.mask) if plane.mask is not None else "",
        bands=tuple(_rectangles(plane, bands, size / 4)),
        ring=(plane.spot[1] * width, plane.spot[0] * height, _RING_MM / plane.pixel_mm) if plane.spot else None,
        letters=(
            (top, width / 2, edge + size / 4),
            (bottom, width / 2, height - edge + size / 3),
            (left, edge, height / 2 + size / 3),
            (right, width - edge, height / 2 + size / 3),
        ),
        letter_size=size,
        bar_mm=bar_mm,
        bar=bar_mm / plane.pixel_mm,
    )


def outline_path(mask: NDArray[np.bool_]) -> str:
    """The border of a mask along its pixels' edges, as an SVG path of horizontal and vertical strokes."""
    ringed = np.pad(mask, 1).astype(np.int8)
    across = np.diff(ringed, axis=0)[:, 1:-1] != 0  # (rows + 1, columns): a stroke along the row's upper edge
    down = np.diff(ringed, axis=1)[1:-1] != 0  # (rows, columns + 1)
    strokes = [f"M{start} {row}h{length}" for row, start, length in _runs(across)]
    strokes += [f"M{column} {start}v{length}" for column, start, length in _runs(down.T)]
    return "".join(strokes)


def _runs(lines: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Unbroken stretches of each line: its number, where the stretch starts, how long it is."""
    steps = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, stops = np.nonzero(steps == -1)
    yield from zip(rows.tolist(), starts.tolist(), (stops - starts).tolist(), strict=True)


def _rectangles(
    plane: Plane, bands: tuple[Band, ...], least: float
) -> Iterator[tuple[str, float, float, float, float]]:
    """Bands that cross this plane; `least` is how thick the thinnest is drawn."""
    height, width = plane.grey.shape
    row_axis, column_axis = _AXES[plane.name]
    for band in bands:
        kind = band.kind.replace(" ", "-")
        if band.axis == row_axis:
            from_top = plane.name != "axial"  # the head is up, and heights are counted from the feet
            start, stop = (1 - band.stop, 1 - band.start) if from_top else (band.start, band.stop)
            y, thick = _span(start * height, stop * height, least, height)
            yield kind, 0.0, y, float(width), thick
        elif band.axis == column_axis:
            x, thick = _span(band.start * width, band.stop * width, least, width)
            yield kind, x, 0.0, thick, float(height)


def _span(start: float, stop: float, least: float, end: float) -> tuple[float, float]:
    thick = max(stop - start, least)
    return min(max((start + stop - thick) / 2, 0.0), end - thick), thick
