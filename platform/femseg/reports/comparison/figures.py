"""The comparison's figures: the paper's for this cohort, the paired differences, and the worst cases."""

from collections.abc import Mapping, Sequence

from femseg.comparison.paired import PairedComparison
from femseg.comparison.repeats import repeated_differences
from femseg.comparison.wording import column_name
from femseg.metrics.scorecard import summary
from femseg.reports.comparison.evidence import HEADLINE_GRID, ComparisonEvidence, LoadPicture
from femseg.reports.comparison.overlays import overlays
from femseg.reports.comparison.page import PageFigure
from femseg.reports.comparison.score_strips import learning_curves, paired_differences, score_strips
from femseg.reports.comparison.slices import input_slices
from femseg.reports.comparison.table import GRID_WORDS, headline_comparisons
from femseg.reports.comparison.worst_cases import FARTHEST_MM, worst_case
from femseg.reports.style import DARK, LIGHT, Theme

_INPUTS, _CURVES, _SCORES, _OVERLAYS = (
    "figure_2_inputs.png",
    "figure_3_learning_curves.png",
    "figure_4_scores.png",
    "figure_5_overlays.png",
)
_DIFFERENCES = "paired_differences_{}.png"
_PAGE_ORDER = (_SCORES, _DIFFERENCES.removesuffix("{}.png"), _OVERLAYS, _CURVES, _INPUTS)
_WORST = 3
_PLACES = ("Worst", "Second worst", "Third worst")
_WORST_CAPTION = (
    "Slices through the voxel at which either prediction is farthest from the annotation, on the network grid; yellow "
    "is the annotation. Right: the annotated bone from four sides, the patient's own left and right; its colour says "
    "how far the predicted surface lies outside (red) or inside (blue) of it there, to half a voxel and up to "
    f"{FARTHEST_MM:g} mm. Islands away from the bone show in the slices alone."
)


def page_place(name: str) -> int:
    """Where a figure stands on the page, by its file's name."""
    return next(place for place, start in enumerate(_PAGE_ORDER) if name.startswith(start))


def worst_case_figures(evidence: ComparisonEvidence, load_picture: LoadPicture) -> dict[str, PageFigure]:
    """The worst test cases, worst first: file name → figure."""
    figures = {}
    for place, case_id in enumerate(evidence.cases_worst_first()[:_WORST], start=1):
        dice = _dice_of(evidence, case_id)
        shown = worst_case(load_picture(case_id), dice=dice)
        figures[f"worst_case_{place}.png"] = PageFigure(
            title=f"{_PLACES[place - 1]} case: {case_id}",
            caption=_WORST_CAPTION + _whose_masks(evidence) if place == 1 else "As above.",
            light=shown,
            dark=shown,
            is_image=True,
        )
    return figures


def _whose_masks(evidence: ComparisonEvidence) -> str:
    """With several seeds a picture can show the masks of one of them only."""
    if evidence.seeds == 1:
        return ""
    first = evidence.trainings[evidence.modes[0]][0].seed
    return f" Masks of seed {first}; order and Dice averaged over inputs and seeds."


def _dice_of(evidence: ComparisonEvidence, case_id: str) -> dict[str, float]:
    return {
        mode: next(row.dice for row in evidence.on_grid(mode, HEADLINE_GRID) if row.case_id == case_id)
        for mode in evidence.modes
    }


def _differences_figure(evidence: ComparisonEvidence, comparison: PairedComparison) -> PageFigure:
    scores = {mode: evidence.on_grid(mode, comparison.grid) for mode in evidence.modes}
    single: dict[tuple[int, int], dict[str, float]] = {}
    if evidence.trainings:
        for one in repeated_differences(
            evidence.trainings[comparison.baseline],
            evidence.trainings[comparison.candidate],
            metric=comparison.metric,
            grid=comparison.grid,
        ):
            single.setdefault((one.fold, one.seed), {})[one.case_id] = one.difference

    def drawn(theme: Theme) -> bytes:
        return paired_differences(scores, comparison, single=tuple(single.values()), theme=theme)

    interval = comparison.interval
    band = f", the band its {interval.confidence * 100:g} % bootstrap interval" if interval.low is not None else ""
    margin = (
        f"; dashed: ± {comparison.margin:g}, the smallest difference that is set to matter" if comparison.margin else ""
    )
    return PageFigure(
        title=f"Case by case, {column_name(comparison.candidate)} − {column_name(comparison.baseline)}",
        caption=f"Paired differences of Dice of n = {comparison.n} test cases on {GRID_WORDS[comparison.grid]}; the "
        f"line is their mean{band}{margin}."
        + (" Small ticks are single trainings, dots their mean." if evidence.trainings else ""),
        light=drawn(LIGHT),
        dark=drawn(DARK),
        is_image=False,
    )


def comparison_figures(
    evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison], load_picture: LoadPicture
) -> dict[str, PageFigure]:
    """The paper's figures 2 to 5 for this cohort, and the paired differences of every candidate: file name → figure."""
    differences = {
        _DIFFERENCES.format(comparison.candidate): _differences_figure(evidence, comparison)
        for comparison in headline_comparisons(comparisons)
    }
    return {**_figures_of_the_paper(evidence, load_picture), **differences}


def _curves_caption(evidence: ComparisonEvidence) -> str:
    trainings = max(len(of_mode) for of_mode in evidence.curves.values())
    shown = (
        f"running mean over a fortieth of the training, a line for each of the {trainings} trainings of each input"
        if trainings > 1
        else "each iteration, faint, and the running mean over a fortieth of the training; one training of each input"
    )
    cases = evidence.split_sizes.get("validation")
    validated = f"{cases} validation cases" if cases else "validation cases of each fold"
    return (
        f"Above: loss on the training cases, {shown}; logarithmic scale. Below: mean Dice on the "
        f"{validated}; a ring marks the best. As figure 3 of the paper."
    )


def _figures_of_the_paper(evidence: ComparisonEvidence, load_picture: LoadPicture) -> Mapping[str, PageFigure]:
    cases = {label: load_picture(case) for label, case in evidence.pictured_cases().items()}
    shown = list(cases.values())[(len(cases) - 1) // 2]
    scores = {mode: evidence.on_grid(mode, HEADLINE_GRID) for mode in evidence.modes}
    dice = {case.case_id: _dice_of(evidence, case.case_id) for case in cases.values()}
    dice_of_all = evidence.cases_worst_first()
    threshold = summary(evidence.threshold).get(HEADLINE_GRID)

    def strips(theme: Theme) -> bytes:
        mean_dice = threshold["dice"]["mean"] if threshold else None
        return score_strips(scores, threshold_dice=mean_dice, threshold_hu=evidence.threshold_hu, theme=theme)

    inputs, outlined = input_slices(shown), overlays(cases, modes=evidence.modes, dice=dice)
    return {
        _INPUTS: PageFigure(
            title="What the networks see",
            caption=f"One test case, {shown.case_id}, on the network grid and true to scale: coronal above, axial "
            "below; the slices with most annotated femur. As figure 2 of the paper.",
            light=inputs,
            dark=inputs,
            is_image=True,
        ),
        _CURVES: PageFigure(
            title="How they learned",
            caption=_curves_caption(evidence),
            light=learning_curves(evidence.curves, theme=LIGHT),
            dark=learning_curves(evidence.curves, theme=DARK),
            is_image=False,
        ),
        _SCORES: PageFigure(
            title="Every test case",
            caption=f"Scores of n = {len(dice_of_all)} test cases on the network grid: each dot is a case, a line "
            "joins the same case; beside the dots mean ± standard deviation. As figure 4 of the paper.",
            light=strips(LIGHT),
            dark=strips(DARK),
            is_image=False,
        ),
        _OVERLAYS: PageFigure(
            title="Where they are right and wrong",
            caption=f"{', '.join(cases).capitalize()} of n = {len(dice_of_all)} test cases by Dice averaged over the "
            "inputs: annotation in yellow, the "
            "prediction in colour over it, so yellow shows where they part. One scale for all; the slices with most "
            f"annotated femur. As figure 5 of the paper.{_whose_masks(evidence)}",
            light=outlined,
            dark=outlined,
            is_image=True,
        ),
    }
