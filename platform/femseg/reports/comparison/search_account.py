"""The account of the search in words and tables: what was chosen, what it cost, what mattered."""

from collections.abc import Mapping
from typing import Any

from femseg.comparison.wording import input_name
from femseg.reports.comparison.page import PageFigure, PageSection
from femseg.reports.comparison.search_evidence import SearchedTrial, SearchEvidence
from femseg.reports.comparison.search_figures import rates_against_dice, trial_curves
from femseg.reports.comparison.table import NOTHING, grid_lines
from femseg.reports.style import DARK, LIGHT

TITLE = "How the learning rate was found"
BUDGET_HEAD = ("trained to iteration", "trials", "failed", "iterations spent")
TRIALS_HEAD = ("trial", "input", "learning rate", "iterations", "best validation Dice", "")
RATES_FIGURE, CURVES_FIGURE = "figure_6_search.png", "figure_7_search_curves.png"


def account(search: SearchEvidence) -> tuple[str, ...]:
    """What a reader should know, a sentence or two each: the choice, the budget, what mattered."""
    return (*(_choice(search, mode) for mode in search.modes), _budget(search), _importance(search))


def _choice(search: SearchEvidence, mode: str) -> str:
    best = search.best(mode)
    if best is None or best.validation_dice is None:
        return f"{input_name(mode).capitalize()}: no trial gave a usable Dice."
    text = (
        f"{input_name(mode).capitalize()}: learning rate {best.learning_rate:g}, validation Dice "
        f"{best.validation_dice:.3f} within {best.iterations} iterations."
    )
    if search.at_an_end(mode):
        text += " It is the outermost that was tried: a better one may lie beyond; widen search.learning_rate."
    return text


def _budget(search: SearchEvidence) -> str:
    spent, all_to_the_end = sum(rung.iterations for rung in search.spent()), len(search.trials) * search.rungs[-1]
    low, high = search.learning_rate
    how = {
        "halving": f"drawn from {low:g} to {high:g}, one in each equal part on a logarithmic scale; from each rung "
        "the better part of each input's trials went on",
        "tpe": f"between {low:g} and {high:g}, proposed by TPE from the trials before them",
    }[search.searcher]
    text = f"{len(search.trials)} trials, their learning rates {how}: {_thousands(spent)} iterations in all"
    if spent < all_to_the_end:
        text += f", {100 * spent / all_to_the_end:.0f}\u00a0% of what it takes to train every trial to the end"
    return f"{text}."


def _importance(search: SearchEvidence) -> str:
    shares = search.importance()
    if shares is None:
        return "Too few trials, or too equal ones, to tell what mattered."
    return (
        f"Of the scatter of Dice among {shares.trials} trials after {search.rungs[0]} iterations the learning rate "
        f"explains {100 * shares.learning_rate:.0f}\u00a0%, the input {100 * shares.input_mode:.0f}\u00a0%; "
        f"{100 * shares.rest:.0f}\u00a0% are neither's alone. Noise alone would explain about "
        f"{100 * shares.learning_rate_by_noise:.0f}\u00a0% by the learning rate and "
        f"{100 * shares.input_mode_by_noise:.0f}\u00a0% by the input with so few trials. "
        "Shares of variance in a model with a level for each input and a "
        "parabola in the logarithm of the learning rate; of these trials, not of others."
    )


def budget_rows(search: SearchEvidence) -> list[tuple[str, ...]]:
    """Cells of the table of rungs."""
    return [(str(r.last_iteration), str(r.trials), str(r.failed), _thousands(r.iterations)) for r in search.spent()]


def trial_rows(search: SearchEvidence) -> list[tuple[str, ...]]:
    """Cells of the table of trials."""
    return [
        (t.trial_id, t.input_mode, f"{t.learning_rate:g}", str(t.iterations), _dice(t), _fate(t, search))
        for t in search.trials
    ]


def _dice(trial: SearchedTrial) -> str:
    return NOTHING if trial.validation_dice is None else f"{trial.validation_dice:.3f}"


def _fate(trial: SearchedTrial, search: SearchEvidence) -> str:
    if trial.failure:
        return f"failed: {trial.failure}"
    return "taken" if trial.trial_id in search.chosen.values() else ""


def search_markdown(search: SearchEvidence, figures: Mapping[str, str]) -> list[str]:
    """Lines of Markdown. `figures` maps titles to paths as seen from the file."""
    lines = [f"## {TITLE}", "", *(f"- {sentence}" for sentence in account(search)), ""]
    lines += [*grid_lines(BUDGET_HEAD, budget_rows(search)), ""]
    lines += [*grid_lines(TRIALS_HEAD, trial_rows(search)), ""]
    return [*lines, *(f"![{title}]({path})" for title, path in figures.items()), ""]


def search_record(search: SearchEvidence) -> dict[str, Any]:
    """The same for programs, as JSON values."""
    shares = search.importance()
    return {
        "searcher": search.searcher,
        "chosen": dict(search.chosen),
        "rungs": [
            {"last_iteration": r.last_iteration, "trials": r.trials, "failed": r.failed, "iterations": r.iterations}
            for r in search.spent()
        ],
        "iterations": sum(rung.iterations for rung in search.spent()),
        "importance": None
        if shares is None
        else {"learning_rate": shares.learning_rate, "input_mode": shares.input_mode, "rest": shares.rest},
    }


def search_figures(search: SearchEvidence) -> Mapping[str, PageFigure]:
    """File name to figure."""
    rungs = "; small dots are the rungs before" if len(search.rungs) > 1 else ""
    stops = " Dotted: the rungs at which trials were judged." if len(search.rungs) > 1 else ""
    return {
        RATES_FIGURE: PageFigure(
            title="Learning rate against Dice",
            caption=f"Each trial at its learning rate, with its best Dice on the validation cases{rungs}.",
            light=rates_against_dice(search, theme=LIGHT),
            dark=rates_against_dice(search, theme=DARK),
            is_image=False,
        ),
        CURVES_FIGURE: PageFigure(
            title="How each trial learned",
            caption="Training loss, running mean, logarithmic scale; thick and with a ring: the trial whose "
            f"learning rate was taken.{stops}",
            light=trial_curves(search, theme=LIGHT),
            dark=trial_curves(search, theme=DARK),
            is_image=False,
        ),
    }


def search_section(search: SearchEvidence, figures: Mapping[str, PageFigure]) -> PageSection:
    """The search as a part of the page."""
    return PageSection(
        title=TITLE,
        sentences=account(search),
        head=BUDGET_HEAD,
        rows=budget_rows(search),
        figures=tuple(figures.values()),
    )


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")
