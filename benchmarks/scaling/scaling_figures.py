"""Figures of docs/explanation/scaling.md, each for light and dark pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from benchmarks.scaling.scaling_model import PARTS
from femseg.files.durable import write_bytes_durably
from femseg.reports.style import DARK, LIGHT, Theme, figure, png, styled

_PART_COLOURS = {
    LIGHT: ("#c9d3de", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#1c2430"),
    DARK: ("#3d4a5c", "#56B4E9", "#35C49A", "#F5C04A", "#F2703A", "#CC79A7", "#e6eaf0"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A labelled line of a panel."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


def written(folder: Path, name: str, draw: Callable[[Theme], bytes]) -> None:
    """`<name>.png` for light pages and `<name>_dark.png` for dark ones."""
    for theme, suffix in ((LIGHT, ""), (DARK, "_dark")):
        write_bytes_durably(folder / f"{name}{suffix}.png", draw(theme))


def _gpu_axis(axes: Axes, gpus: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    shown = gpus[::2] if len(gpus) > 6 else gpus
    axes.set_xticks(shown, [f"{n}" for n in shown])
    axes.minorticks_off()
    axes.set_xlabel("GPUs")


def _lines(axes: Axes, curves: Sequence[Curve], theme: Theme, *, widest: float = 1.0) -> None:
    """The first line is the widest, so that those which coincide with it are both seen."""
    colours = (*theme.modes, theme.ink)
    widths = np.linspace(2.2 * widest, 2.2, len(curves))
    for colour, width, curve in zip(colours, widths, curves, strict=False):
        style = (0, (4, 2)) if curve.dashed else "solid"
        axes.plot(curve.x, curve.y, color=colour, linewidth=width, linestyle=style, label=curve.label)
    axes.grid(axis="x", visible=False)


def gpus(curves: Sequence[Curve], steps: Mapping[int, Mapping[str, float]], theme: Theme) -> bytes:
    """Efficiency against GPUs for several networks, and where the time of a step goes for some numbers of GPUs."""
    with styled(theme):
        made = figure(11.4, 4.3)
        left, right = made.subplots(1, 2, width_ratios=(1.1, 1))
        _lines(left, curves, theme, widest=2.5)
        _gpu_axis(left, [int(x) for x in curves[0].x])
        left.set_ylim(0, 1.02)
        left.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        left.set_title("Part of the time in which GPUs compute", loc="left")
        left.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(-0.02, -0.14), ncols=2)
        _stacked(right, steps, theme)
        return png(made)


def _stacked(axes: Axes, steps: Mapping[int, Mapping[str, float]], theme: Theme) -> None:
    places, below = np.arange(len(steps)), np.zeros(len(steps))
    for part, colour in zip(PARTS, _PART_COLOURS[theme], strict=True):
        height = 1000 * np.array([row[part] for row in steps.values()])
        axes.bar(places, height, 0.62, bottom=below, color=colour, label=part, linewidth=0)
        below += height
    axes.set_xticks(places, [str(n) for n in steps])
    axes.set_xlabel("GPUs")
    axes.set_title("Milliseconds of a step", loc="left")
    axes.grid(axis="x", visible=False)
    axes.legend(*[side[::-1] for side in axes.get_legend_handles_labels()], fontsize=8.5, loc="center left",
                bbox_to_anchor=(1.0, 0.5))  # fmt: skip


def batches(curves: Sequence[Curve], papers_hours: float, theme: Theme) -> bytes:
    """Hours to what the paper's training reaches, against GPUs, for several noise scales."""
    with styled(theme):
        made = figure(7.6, 4.1)
        axes = made.subplots()
        _lines(axes, curves, theme)
        _gpu_axis(axes, [int(x) for x in curves[0].x])
        axes.set_yscale("log")
        axes.set_yticks((0.01, 0.1, 1, 10), ("36 s", "6 min", "1 h", "10 h"))
        axes.minorticks_off()
        axes.axhline(papers_hours, color=theme.muted, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate("the paper: 26 h on one GTX 1080 Ti", (1, papers_hours), xytext=(0, 4),
                      textcoords="offset points", fontsize=8.5, color=theme.muted)  # fmt: skip
        axes.set_title("Time to what 10 000 iterations at batch 2 reach, two samples a GPU", loc="left")
        axes.legend(fontsize=8.5, title="gradient noise scale (assumed)", title_fontsize=8.5, loc="upper right",
                    bbox_to_anchor=(1, 0.92))  # fmt: skip
        return png(made)


def binding(maps: Mapping[str, Sequence[Sequence[str]]], gpu_counts: Sequence[int], cases: Sequence[float],
            theme: Theme) -> bytes:  # fmt: skip
    """What binds, for GPUs against cases; a panel for each storage."""
    with styled(theme):
        made = figure(11.4, 4.2)
        panels = made.subplots(1, len(maps), sharey=True)
        colours = ListedColormap(list(_PART_COLOURS[theme]))
        seen: set[str] = set()
        for axes, (storage, rows) in zip(panels, maps.items(), strict=True):
            seen |= {part for row in rows for part in row}
            values = np.array([[PARTS.index(part) for part in row] for row in rows])
            axes.pcolormesh(np.log2(gpu_counts), np.log10(cases), values, cmap=colours, vmin=-0.5,
                            vmax=len(PARTS) - 0.5, shading="nearest", rasterized=True)  # fmt: skip
            axes.set_xticks(range(0, 11, 2), [str(2**n) for n in range(0, 11, 2)])
            axes.set_yticks(range(2, 7), ["100", "1 000", "10 000", "100 000", "1 000 000"])
            axes.set_xlabel("GPUs")
            axes.set_title(storage, loc="left")
            axes.grid(visible=False)
        panels[0].set_ylabel("cases")
        handles = [
            Patch(facecolor=colour, edgecolor=theme.muted, linewidth=0.5, label=part)
            for part, colour in zip(PARTS, _PART_COLOURS[theme], strict=True)
            if part in seen
        ]
        made.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
        return png(made)


def sensitivities(changes: Mapping[str, tuple[float, float]], theme: Theme) -> bytes:
    """How the samples per second move when one number is halved or doubled."""
    ordered = sorted(changes.items(), key=lambda item: max(abs(x - 1) for x in item[1]))
    with styled(theme):
        made = figure(7.6, 3.9)
        axes = made.subplots()
        for place, (_, (halved, doubled)) in enumerate(ordered):
            axes.barh(place, doubled - 1, 0.6, left=1, color=theme.modes[0], label="doubled")
            axes.barh(place, halved - 1, 0.6, left=1, color=theme.modes[1], label="halved")
        axes.set_yticks(range(len(ordered)), [name for name, _ in ordered])
        axes.axvline(1, color=theme.muted, linewidth=1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value - 1:+.0%}" if abs(value - 1) > 1e-9 else "as assumed")
        axes.grid(axis="y", visible=False)
        axes.set_title("Samples per second when one number changes", loc="left")
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[:2], labels[:2], fontsize=8.5, loc="lower right")
        return png(made)


def case_counts(rows: Sequence[Mapping[str, Any]], theme: Theme) -> bytes:
    """Measured: a worker's memory, and its time to the first step, against the number of cases."""
    cases = [row["cases"] for row in rows]
    with styled(theme):
        made = figure(9.6, 3.4)
        left, right = made.subplots(1, 2)
        memory = [
            Curve(label="at most", x=cases, y=[row["mib_at_most"] for row in rows]),
            Curve(label="after imports", x=cases, y=[row["mib_after_imports"] for row in rows], dashed=True),
        ]
        seconds = [
            Curve(label=label, x=cases, y=[row[name] for row in rows])
            for label, name in (
                ("worker, to its first step", "worker_processor_seconds_to_the_first_step"),
                ("driver, to describe the job", "driver_processor_seconds_to_describe_the_job"),
            )
        ]
        for axes, curves, title in (
            (left, memory, "Memory of a worker, MiB"),
            (right, seconds, "Processor seconds at the start"),
        ):
            _lines(axes, curves, theme)
            for line in axes.get_lines():
                line.set_marker("o")
            axes.set_xscale("log")
            axes.set_xticks(cases, [f"{n:,}".replace(",", " ") for n in cases])
            axes.minorticks_off()
            axes.set_ylim(0, 1.25 * max(max(curve.y) for curve in curves))
            axes.set_xlabel("cases")
            axes.set_title(title, loc="left")
            axes.legend(fontsize=8.5, loc="upper left")
        return png(made)
