"""What a reader must know to read the report's tables, and what they do not cover."""

from collections.abc import Sequence

from femseg.comparison.bootstrap import ALL_RESAMPLES_UP_TO
from femseg.comparison.paired import PairedComparison
from femseg.comparison.wording import input_name
from femseg.reports.evidence import ComparisonEvidence

_MANY_CASES = 20


def reading_note(evidence: ComparisonEvidence, comparisons: Sequence[PairedComparison]) -> str:
    """Below the tables: how differences, intervals and p-values were made; of what is rare, only what occurs here."""
    resamples = f"{evidence.resamples:,}".replace(",", "\u00a0")
    sentences = (
        f"Differences are paired by case, against {input_name(evidence.modes[0])}; intervals are "
        f"{evidence.confidence * 100:g} % bootstrap intervals of the mean difference (BCa, expanded for few cases, "
        f"{resamples} resamples of cases, seed {evidence.seed}; of up to {ALL_RESAMPLES_UP_TO} cases all there are); "
        f"{_alone(evidence)}.",
        "p is of the two-sided Wilcoxon signed-rank test. Dice on the network grid was chosen beforehand and is tested "
        "alone; the p of every other row is adjusted by Holm for all of these rows together, and never below Dice's.",
        "Effect is the matched-pairs rank-biserial correlation (−1 to 1), and the mean difference in standard "
        "deviations of the differences (d_z).",
        "Equal cases are set aside in p and effect." if any(c.tied for c in comparisons) else "",
        "A case in which a mask is empty has no distance and is left out of that row, which favours the model that "
        "failed."
        if any(c.undefined_pairs for c in comparisons)
        else "",
        "80 % power is the mean difference that so many cases would have shown in four of five such studies, taking "
        "the scatter seen as the true one: of Dice on the network grid tested alone, of every other row at the level "
        "divided by the number of these rows (cautious: Holm asks less of later ones); – where so few cases would show "
        "none.",
        "With so few cases intervals still come out somewhat too narrow."
        if len(evidence.cases_worst_first()) < _MANY_CASES
        else "",
        dependence_said(evidence),
        "These intervals and tests are of the cases; where there are several trainings, their scatter is counted "
        "beside them.",
    )
    return " ".join(filter(None, sentences))


def subgroup_note(evidence: ComparisonEvidence) -> str:
    """Below the table of subgroups."""
    return (
        "Dice on the network grid. Groups are looked at to ask further, not to conclude: a group too small to reach "
        "the level gets no test, and a difference shown in one group and not in another is no difference between the "
        f"groups. {_alone(evidence).capitalize()}."
    )


def dependence_said(evidence: ComparisonEvidence) -> str:
    """That several cases of one patient are no independent cases; empty where each patient has one."""
    count = evidence.patients_with_several
    if not count:
        return ""
    who = f"{count} patient{' has' if count == 1 else 's have'} several cases"
    return f"{who}; cases are treated as independent, so intervals and p are too small."


def _alone(evidence: ComparisonEvidence) -> str:
    return f"each interval is at {evidence.confidence * 100:g} % by itself, not adjusted for the number of rows"
