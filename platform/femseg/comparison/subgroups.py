"""The paired difference within groups of cases: where to look next, not what to believe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from femseg.comparison.holm import holm
from femseg.comparison.paired import PairedComparison, paired_comparison
from femseg.comparison.wording import too_few
from femseg.metrics.scorecard import CaseScore, Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """One group's paired comparison.

    Attributes:
        trait, group: for instance "sex", "female".
        n: pairs with a value on both sides.
        mean_difference: candidate − baseline; None without pairs.
        low, high: ends of the interval; None where there is none, or no test.
        no_interval: why there is none; empty where there is one.
        adjusted_p: Wilcoxon's p after Holm over all groups of the table that were tested; None for those that were not.
    """

    trait: str
    group: str
    n: int
    mean_difference: float | None
    low: float | None
    high: float | None
    no_interval: str
    adjusted_p: float | None

    def as_plain(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def subgroup_table(
    baseline: Sequence[CaseScore],
    candidate: Sequence[CaseScore],
    groups: Mapping[str, Mapping[str, str]],
    *,
    metric: str,
    grid: Grid,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[Subgroup, ...]:
    """Every group of every trait, as `paired_comparison` sees it.

    A group gets no test and no interval where its smallest possible p exceeds the level (below 6 cases at 5 %). Two
    groups of which one shows a difference and the other does not are not thereby shown to differ.

    Args:
        groups: trait → case id → group; a case may be missing.
    """
    compared = [
        (
            trait,
            group,
            paired_comparison(
                [row for row in baseline if by_case.get(row.case_id) == group],
                [row for row in candidate if by_case.get(row.case_id) == group],
                metric=metric,
                grid=grid,
                confidence=confidence,
                resamples=resamples,
                seed=seed,
            ),
        )
        for trait, by_case in groups.items()
        for group in sorted(set(by_case.values()))
    ]
    tested = [c for _, _, c in compared if _is_tested(c)]
    adjusted = dict(zip(map(id, tested), holm([c.test.p_value or 0.0 for c in tested]), strict=True))
    return tuple(
        Subgroup(
            trait=trait,
            group=group,
            n=c.n,
            mean_difference=c.mean_difference,
            low=c.interval.low if _is_tested(c) else None,
            high=c.interval.high if _is_tested(c) else None,
            no_interval="" if _is_tested(c) and c.interval.low is not None else _why_none(c),
            adjusted_p=adjusted.get(id(c)),
        )
        for trait, group, c in compared
    )


def _why_none(comparison: PairedComparison) -> str:
    if comparison.interval.low is None:
        return comparison.interval.method.removeprefix("no interval: ")
    return too_few(comparison)


def _is_tested(comparison: PairedComparison) -> bool:
    return comparison.test.p_value is not None and comparison.verdict != "too few cases"
