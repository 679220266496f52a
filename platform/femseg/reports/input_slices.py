"""Figure 2: what the two networks see of one case, and what they are to find."""

from femseg.reports.evidence import CasePicture
from femseg.reports.slices import ANNOTATION, draw_outline, draw_scale_bar, draw_slice, panel, window_on
from femseg.reports.style import VIEWER, figure, png, styled

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
