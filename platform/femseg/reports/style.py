"""How every figure looks: colours that colour-blind readers tell apart, legible type, reproducible bytes."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

PIXELS_PER_INCH = 170
_MODES = ("raw", "gradient", "both", "cascade-best", "cascade-raw", "cascade-gradient", "cascade-both")
_PLACES = {mode: place for place, mode in enumerate(_MODES)}  # alone on a model's card a mode keeps its colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Colours of a figure on a light or a dark page. Mode colours are of Okabe & Ito's palette."""

    paper: str
    ink: str
    muted: str
    rule: str
    modes: tuple[str, ...]

    def mode_colours(self, modes: Sequence[str]) -> dict[str, str]:
        """A colour for each input mode; the same mode has the same colour in every figure."""
        return {mode: self.modes[_PLACES.get(mode, place) % len(self.modes)] for place, mode in enumerate(modes)}


LIGHT = Theme(
    paper="#ffffff",
    ink="#1c2430",
    muted="#66707d",
    rule="#e3e7ec",
    modes=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6F5FC4"),
)
DARK = Theme(
    paper="#171c24",
    ink="#e6eaf0",
    muted="#9aa5b4",
    rule="#2c3542",
    modes=("#56B4E9", "#F28E2B", "#35C49A", "#CC79A7", "#B5DDF6", "#F5CE8B", "#A99DF0"),
)
VIEWER = Theme(  # images stand on near-black in either case, as on a reading station
    paper="#0d1117",
    ink="#e6eaf0",
    muted="#9aa5b4",
    rule="#2c3542",
    modes=("#56B4E9", "#FF9142", "#35C49A", "#E39AC4", "#B5DDF6", "#F5CE8B", "#A99DF0"),
)


@contextmanager
def styled(theme: Theme) -> Iterator[None]:
    """Figures made inside the block have our type and the theme's colours, whatever the user's matplotlibrc says."""
    with mpl.rc_context(mpl.rcParamsDefault):
        mpl.rcParams.update(
            {
                "font.family": "DejaVu Sans",
                "font.size": 10,
                "text.color": theme.ink,
                "axes.labelcolor": theme.ink,
                "axes.edgecolor": theme.muted,
                "axes.facecolor": theme.paper,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.titlesize": 10.5,
                "axes.titleweight": "bold",
                "axes.grid": True,
                "axes.axisbelow": True,
                "grid.color": theme.rule,
                "grid.linewidth": 0.8,
                "xtick.color": theme.muted,
                "ytick.color": theme.muted,
                "xtick.labelcolor": theme.ink,
                "ytick.labelcolor": theme.ink,
                "legend.frameon": False,
                "figure.facecolor": theme.paper,
                "lines.solid_capstyle": "round",
            }
        )
        yield


def figure(width_in: float, height_in: float, *, arranged: bool = True) -> Figure:
    """An empty figure that arranges its axes itself unless told not to; free of pyplot's global state."""
    made = Figure(figsize=(width_in, height_in), layout="constrained" if arranged else None, dpi=PIXELS_PER_INCH)
    FigureCanvasAgg(made)
    return made


def png(made: Figure) -> bytes:
    """PNG without a date or a version: the same figure gives the same bytes."""
    stream = io.BytesIO()
    made.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def pixels(made: Figure) -> NDArray[np.uint8]:
    """The figure as it is drawn, shape (rows, columns, 4)."""
    canvas = FigureCanvasAgg(made)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib's stubs leave it out
    return np.array(canvas.buffer_rgba(), np.uint8)  # type: ignore[no-untyped-call]


def svg(made: Figure) -> bytes:
    """SVG without a date; the same figure gives the same bytes."""
    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "femseg"}):
        made.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
