"""Figure 5: annotation and predictions on slices of the worst, the median and the best test case."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from femseg.comparison.wording import column_name, input_name
from femseg.reports.comparison.evidence import CasePicture
from femseg.reports.comparison.slices import (
    ANNOTATION,
    Plane,
    draw_outline,
    draw_scale_bar,
    draw_slice,
    panel,
    window_on,
)
from femseg.reports.style import VIEWER, figure, png, styled

_PANEL_IN = 1.75  # of the widest case; all cases are drawn to one scale
_GAP_IN = 0.1
_GROUP_GAP_IN = 0.4
_HEAD_IN = 0.8
_FOOT_IN = 0.55


def overlays(
    cases: Mapping[str, CasePicture], *, modes: Sequence[str], dice: Mapping[str, Mapping[str, float]]
) -> bytes:
    """PNG with a group of columns per case, one column per input mode; a coronal slice above an axial one.

    Args:
        cases: label ("worst", …) → case.
        modes: input modes, in the order of their columns.
        dice: case id → input mode → Dice, printed above the column.
    """
    sizes_mm = [window_on(case).size_mm_zyx(case.spacing_mm_zyx) for case in cases.values()]
    z_mm, y_mm, x_mm = (max(size[axis] for size in sizes_mm) for axis in range(3))
    inches_per_mm = _PANEL_IN / x_mm
    group_in = len(modes) * _PANEL_IN + (len(modes) - 1) * _GAP_IN
    with styled(VIEWER):
        made = figure(
            len(cases) * (group_in + _GROUP_GAP_IN),
            _HEAD_IN + (z_mm + y_mm) * inches_per_mm + _GAP_IN + _FOOT_IN,
            arranged=False,
        )
        for place, (label, case) in enumerate(cases.items()):
            left = _GROUP_GAP_IN / 2 + place * (group_in + _GROUP_GAP_IN)
            words = case.case_id if len(modes) == 1 else f"{label.capitalize()} · {case.case_id}"
            _put_text(made, left + group_in / 2, 0.12, words)
            for column, mode in enumerate(modes):
                left_in = left + column * (_PANEL_IN + _GAP_IN)
                _draw_column(
                    made, case, mode, modes, left_in, z_mm, inches_per_mm, f"Dice {dice[case.case_id][mode]:.3f}"
                )
        colours = VIEWER.mode_colours(modes)
        outlines = [("annotation", ANNOTATION)] + [(f"predicted, {input_name(mode)}", colours[mode]) for mode in modes]
        handles = [Line2D([], [], color=colour, linewidth=2.2, label=label) for label, colour in outlines]
        made.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=10)
        return png(made)


def _draw_column(
    made: Figure,
    case: CasePicture,
    mode: str,
    modes: Sequence[str],
    left_in: float,
    tallest_mm: float,
    inches_per_mm: float,
    dice: str,
) -> None:
    window, colour = window_on(case), VIEWER.mode_colours(modes)[mode]
    z_in, y_in, x_in = (size * inches_per_mm for size in window.size_mm_zyx(case.spacing_mm_zyx))
    left_in += (_PANEL_IN - x_in) / 2
    axial_top_in = _HEAD_IN + tallest_mm * inches_per_mm + _GAP_IN
    places: dict[Plane, tuple[float, float]] = {"coronal": (_HEAD_IN, z_in), "axial": (axial_top_in, y_in)}
    for plane, (top_in, height_in) in places.items():
        axes = panel(made, left_in, top_in, x_in, height_in)
        draw_slice(axes, case, window, case.ct_zyx, plane)
        draw_outline(axes, case, window, case.reference_zyx, plane, colour=ANNOTATION, width=1.7)
        draw_outline(axes, case, window, case.predicted_zyx[mode], plane, colour=colour, width=1.2)
        if mode == modes[0]:
            draw_scale_bar(axes)
        if plane == "coronal":
            axes.set_title(f"{column_name(mode)}\n{dice}", fontsize=9.5, color=colour)


def _put_text(made: Figure, x_in: float, top_in: float, words: str) -> None:
    width, height = made.get_size_inches()
    made.text(x_in / width, 1 - top_in / height, words, ha="center", va="top", fontsize=11, fontweight="bold")
