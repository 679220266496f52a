"""Results of benchmarks/results, and the numbers and words that are made of several of their values."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from scipy.stats import t
from tiny_project import ROOT

Result = dict[str, Any]
Words = Callable[[Result], str]


@cache
def result(name: str) -> Result:
    return json.loads((ROOT / "benchmarks/results" / f"{name}.json").read_text(encoding="utf-8"))


def off(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def on_the_cts_own_grid(r: Result, name: str) -> tuple[str, str]:
    """Mean Dice and surface distance of a model of the demo."""
    means = r["on_the_cts_own_grid"][name]
    return f"{means['dice']['mean']:.3f}", f"{means['average_surface_distance_mm']['mean']:.2f}"


def monai(r: Result, ours: str) -> float:
    return r["ratio_to_monai_in_the_same_precision_each_in_its_faster_layout"][ours]


def floor(r: Result, ours: str) -> float:
    return r["ratio_to_the_sum_of_its_convolutions_in_its_faster_layout"][ours]


def faster(r: Result, what: str) -> float:
    return min(r["median_seconds"][f"{what} {layout}"] for layout in ("contiguous", "channels-last"))


def again(r: Result, *kinds: str) -> float:
    """Most seconds from a kill to training again."""
    return max(kill["seconds_to_training"] or 0 for kill in r["each_kill"] if kill["kind"] in kinds)


def losses(r: Result) -> tuple[int, int]:
    return tuple(sum(r[part][name] for part in ("plain", "ray", "nodes")) for name in ("lost_runs", "differing_runs"))


def others(r: Result, key: str) -> float:
    """The most that what is built to cost takes, besides what the page names."""
    named = (
        *(
            "dicom of two million items",
            "dicom of two million items of unsaid length",
            "dicom deflated below the ratio",
        ),
        *("yaml as long as it may be", "nifti ct below the ratio"),
    )
    return max(bomb[key] for bomb in r["bombs"] if bomb["bomb"] not in named)


def bomb(r: Result, name: str, key: str) -> float:
    return next(one[key] for one in r["bombs"] if one["bomb"] == name)


def over_carriers(r: Result, of: Callable[[Result], float]) -> list[float]:
    return [of(carrier) for carrier in r["carriers"].values()]


def moved(r: Result, cohort: str, directions: tuple[str, ...], mm: int) -> dict[str, int]:
    """Outcome → masks, of those that were moved by so much."""
    shifts = r["masks_moved_or_mirrored"][cohort]["shift"]
    found: dict[str, int] = {}
    for direction in directions:
        for outcome, count in shifts[f"{direction}, {mm} mm"].items():
            found[outcome] = found.get(outcome, 0) + count
    return found


def in_words(found: dict[str, int]) -> str:
    return ", ".join(
        f"{found[outcome]} {outcome}" for outcome in ("refused", "remarked", "unnoticed") if outcome in found
    )


def moved_by(r: Result, mm: int) -> tuple[dict[str, int], ...]:
    """Phantoms in the slice's plane, phantoms along the body, the real pelvis in any direction."""
    plane, along = ("front to back", "left to right"), ("along the body",)
    phantoms, pelvis = "phantoms, one leg", "real pelvis"
    return moved(r, phantoms, plane, mm), moved(r, phantoms, along, mm), moved(r, pelvis, (*plane, *along), mm)


def placement_row(r: Result, mm: int) -> str:
    return f"| {mm} mm | {' | '.join(map(in_words, moved_by(r, mm)))} |"


def of_the_real_ct(r: Result) -> str:
    found = moved_by(r, 1)[2]
    return f"{found['unnoticed']} of {sum(found.values())}"


def in_full(found: dict[str, int]) -> str:
    """One outcome for all masks, in words."""
    (outcome,) = found
    return f"all {outcome}"


def far_row(r: Result) -> str:
    """The same from 5 mm on: one row, since all distances came out alike."""
    (cells,) = {tuple(map(in_full, moved_by(r, mm))) for mm in (5, 6, 8, 10)}
    return f"| 5, 6, 8 or 10 mm | {' | '.join(cells)} |"


def mirrored(r: Result) -> str:
    """All of every cohort were refused."""
    ways = [found for cohort in r["masks_moved_or_mirrored"].values() for found in cohort["mirror"].values()]
    assert all(set(found) == {"refused"} for found in ways)
    return "All mirrored ones were refused"


def right(r: Result, *cohorts: str) -> int:
    """Masks that lie right, of which none was refused or remarked."""
    assert all(set(r["masks_that_lie_right"][cohort]) == {"unnoticed"} for cohort in cohorts)
    return sum(r["masks_that_lie_right"][cohort]["unnoticed"] for cohort in cohorts)


def given(r: Result, tool: str, outcome: str = "given", group: str = "malformed") -> int:
    return r["tools"][tool]["counts"][group].get(outcome, 0)


def planned(r: Result) -> list[float]:
    """Estimated over measured, by the clock, of what is no array of a scan."""
    pieces = [pair for cohort in r["cohorts"].values() for scale in cohort.values() for pair in scale["time"].items()]
    return [found["clock_ratio"] for name, found in pieces if name != "arrays of a scan"]


def by_command(r: Result) -> str:
    """`femseg segment` as typed, of 400 and of 1000 slices."""
    one, long = (r["by_command"][f"{slices} × 512 × 512"] for slices in (400, 1000))
    return (
        f"| {one['seconds']:.0f} s, missed, {one['peak_gib']:.1f} GiB; {long['seconds']:.0f} s, "
        f"{long['peak_gib']:.1f} GiB |"
    )


def native_row(r: Result, method: str, words: str) -> str:
    """Of a method at 1 mm: means and, in brackets, the worst; how many scans are in as many pieces as they hold."""
    one = r["table"][method]
    dice, mean, far = (one[m] for m in ("dice", "average_surface_distance_mm", "hausdorff_95_mm"))
    return (
        f"| {words} | {dice['mean']:.3f} ({dice['worst']:.3f}) | {mean['mean']:.2f} ({mean['worst']:.2f}) mm | "
        f"{far['mean']:.1f} ({far['worst']:.1f}) mm | {one['in_as_many_pieces']} of {one['cases']} |"
    )


def second_seed(r: Result, cascade: str) -> str:
    """Mean Dice, and the least."""
    (one,) = (one for one in r["of_each_training"] if (one["cascade"], one["training"]) == (cascade, "fold-0-seed-1"))
    return f"{one['mean_dice']:.3f} ({one['least_dice']:.3f})"


def between_cascades(r: Result) -> str:
    """Gradient minus CT over both seeds, with the interval over the cases and that which counts the trainings, too."""
    one = r["answers"][-1]
    assert (one["candidate"], one["baseline"]) == ("cascade-gradient", "cascade-raw")
    low, high = (off(one["interval"][end]) for end in ("low", "high"))
    scatter = one["scatter"]
    half = t.ppf(0.975, scatter["standard_error_df"]) * scatter["standard_error"]
    of_all = [off(scatter["mean_difference"] + sign * half) for sign in (-1, 1)]
    return (
        f"{one['headline']}: {off(one['mean_difference'])} Dice ({low} to {high} over the cases, {of_all[0]} to "
        f"{of_all[1]} with the scatter between trainings)"
    )


def hours(r: Result, training: str) -> str:
    """Of the steps, the mean over seeds."""
    each = [one["hours"] for one in r["trainings"][training]]
    return f"{sum(each) / len(each):.1f}"


def largest_pieces(r: Result) -> tuple[float, float, float]:
    """Of each painted femur's largest piece alone: mean Dice, and surface distance of hips and of whole femora."""
    rows = [(row["shape"].startswith("z"), row["of_largest_pieces"]) for row in r["painted_real_shapes"]]
    hips, whole = (
        [one["average_surface_distance_mm"] for is_whole, one in rows if is_whole == wanted] for wanted in (False, True)
    )
    return sum(one["dice"] for _, one in rows) / len(rows), sum(hips) / len(hips), sum(whole) / len(whole)


def painted_row(r: Result, whole: bool) -> str:
    """Of the shipped model's painted shapes the whole femora, named z…, or the hips."""
    rows = [row for row in r["painted_real_shapes"] if row["shape"].startswith("z") == whole]
    dice, away_mm = (sum(row[key] for row in rows) / len(rows) for key in ("dice", "average_surface_distance_mm"))
    name = "whole femora" if whole else "hips"
    return f"| of these {len(rows)} {name} | Dice {dice:.3f}, surface distance {away_mm:.2f} mm |"
