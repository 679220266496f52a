"""One of the worst test cases: where each prediction goes wrong, in three planes and on the bone's surface."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from femseg.comparison.wording import column_name, input_name
from femseg.reports.comparison.bone_surface import BoneView, bone_views, deepest_error
from femseg.reports.comparison.evidence import CasePicture
from femseg.reports.comparison.slices import (
    ANNOTATION,
    Plane,
    Window,
    draw_outline,
    draw_scale_bar,
    draw_slice,
    panel,
    window_on,
)
from femseg.reports.style import VIEWER, figure, png, styled

FARTHEST_MM = 6.0  # beyond this the colour says "at least"
_BONE_IN, _WIDEST_IN = 3.5, 11.0  # the height of the longest panel, the width of a line of them
_GAP_IN, _SIDE_IN, _HEAD_IN, _TITLE_IN, _FOOT_IN = 0.1, 0.16, 0.72, 0.3, 0.78
_PLANES: tuple[Plane, ...] = ("coronal", "sagittal", "axial")


def worst_case(case: CasePicture, *, dice: Mapping[str, float]) -> bytes:
    """PNG with a row for each input mode: slices through the deepest error of any, then the bone from four sides.

    Args:
        dice: by input mode, printed beside the row.
    """
    modes = tuple(case.predicted_zyx)
    window = _through_the_deepest_error(case)
    views = {mode: bone_views(case.reference_zyx, case.predicted_zyx[mode], case.spacing_mm_zyx) for mode in modes}
    z_mm, y_mm, x_mm = window.size_mm_zyx(case.spacing_mm_zyx)
    slices = [(z_mm, x_mm), (z_mm, y_mm), (2 * y_mm, 2 * x_mm)]  # an axial slice is small beside a whole femur
    bones = [(float(view.distance_mm.shape[0]), float(view.distance_mm.shape[1])) for view in views[modes[0]].values()]
    lines = [[*slices, *bones]]
    if _BONE_IN / z_mm > _fitting(
        lines[0]
    ):  # a wide field of view: the bones below the slices, each at a scale of its own
        lines = [[*slices[:2], (y_mm, x_mm)], *([bones] if bones else [])]
    scales = [_fitting(line) for line in lines]
    heights = [max(height for height, _ in line) * scale for line, scale in zip(lines, scales, strict=True)]
    row_in = _HEAD_IN + sum(heights) + _TITLE_IN * (len(lines) - 1)
    width_in = max(_width_in(line, scale) for line, scale in zip(lines, scales, strict=True))
    with styled(VIEWER):
        made = figure(2 * _SIDE_IN + width_in, len(modes) * row_in + _FOOT_IN, arranged=False)
        for row, mode in enumerate(modes):
            top = row * row_in + _HEAD_IN
            colour = VIEWER.mode_colours(modes)[mode]
            _words(made, _SIDE_IN, top - _HEAD_IN + 0.1, f"{input_name(mode)} · Dice {dice[mode]:.3f}", colour)
            panels = _panels(made, lines, scales, top)
            for plane, axes in zip(_PLANES, panels, strict=False):
                _draw_plane(axes, case, window, mode, plane, colour)
            for side, axes in zip(views[mode], panels[len(_PLANES) :], strict=True):
                _draw_surface(axes, views[mode][side])
                axes.set_title(side, fontsize=10, color=VIEWER.muted)
        _legend(made, modes)
        return png(made)


def _fitting(sizes_mm: Sequence[tuple[float, float]]) -> float:
    """Inches per mm at which panels (height, width) in a line are neither too high nor too wide for a page."""
    width_mm = sum(width for _, width in sizes_mm)
    return min(_BONE_IN / max(height for height, _ in sizes_mm), (_WIDEST_IN - _GAP_IN * len(sizes_mm)) / width_mm)


def _width_in(sizes_mm: Sequence[tuple[float, float]], scale: float) -> float:
    return sum(width for _, width in sizes_mm) * scale + _GAP_IN * len(sizes_mm)


def _panels(
    made: Figure, lines: Sequence[Sequence[tuple[float, float]]], scales: Sequence[float], top_in: float
) -> list[Axes]:
    """Axes of every panel: slices hang from the top of their line, bones stand in its middle."""
    panels: list[Axes] = []
    for line, scale in zip(lines, scales, strict=True):
        left_in, line_in = _SIDE_IN, max(height for height, _ in line) * scale
        for height, width in line:
            lower = 0.0 if len(panels) < len(_PLANES) else (line_in - height * scale) / 2
            panels.append(panel(made, left_in, top_in + lower, width * scale, height * scale))
            left_in += width * scale + _GAP_IN
        top_in += line_in + _TITLE_IN
    return panels


def _through_the_deepest_error(case: CasePicture) -> Window:
    found = [
        deepest_error(case.reference_zyx, predicted, case.spacing_mm_zyx) for predicted in case.predicted_zyx.values()
    ]
    window = window_on(case)
    errors = [error for error in found if error is not None]
    return window.through(max(errors)[1]) if errors else window


def _draw_plane(axes: Axes, case: CasePicture, window: Window, mode: str, plane: Plane, colour: str) -> None:
    draw_slice(axes, case, window, case.ct_zyx, plane)
    draw_outline(axes, case, window, case.reference_zyx, plane, colour=ANNOTATION, width=1.5)
    draw_outline(axes, case, window, case.predicted_zyx[mode], plane, colour=colour, width=1.1)
    draw_scale_bar(axes)
    axes.set_title(plane, fontsize=10, color=VIEWER.muted)


def _draw_surface(axes: Axes, view: BoneView) -> None:
    """The bone, its colour the distance, its brightness the light on it."""
    colours = mpl.colormaps["RdBu_r"](Normalize(-FARTHEST_MM, FARTHEST_MM)(np.nan_to_num(view.distance_mm, posinf=0)))
    shade = (0.35 + 0.65 * np.nan_to_num(view.light))[..., None]
    colours[..., :3] *= shade
    colours[..., 3] = np.isfinite(view.light)
    axes.imshow(colours, interpolation="bilinear", aspect="equal")


def _legend(made: Figure, modes: Sequence[str]) -> None:
    colours = VIEWER.mode_colours(modes)
    outlines = [("annotation", ANNOTATION)] + [(f"{column_name(mode)} prediction", colours[mode]) for mode in modes]
    handles = [Line2D([], [], color=colour, linewidth=2, label=label) for label, colour in outlines]
    width, height = made.get_size_inches()
    beside = 1 if width < 7 else len(handles) if len(handles) < 5 else 2
    made.legend(handles=handles, loc="lower left", fontsize=10, ncols=beside)
    bar = made.add_axes((1 - (_SIDE_IN + 3.3) / width, 0.46 / height, 3.2 / width, 0.1 / height))
    scale = mpl.cm.ScalarMappable(Normalize(-FARTHEST_MM, FARTHEST_MM), "RdBu_r")
    made.colorbar(scale, cax=bar, orientation="horizontal", extend="both")
    bar.tick_params(labelsize=9.5, colors=VIEWER.ink, length=2)
    bar.set_title("predicted surface, mm inside (−) or outside (+)", fontsize=9.5, color=VIEWER.ink, pad=3)


def _words(made: Figure, left_in: float, top_in: float, words: str, colour: str) -> None:
    width, height = made.get_size_inches()
    made.text(
        left_in / width, 1 - top_in / height, words, ha="left", va="top", fontsize=12, fontweight="bold", color=colour
    )
