"""The paired difference within groups of cases: where to look next, not what to believe."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from femseg.cohorts.case import Case
from femseg.comparison.family import holm
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


_METAL_ML = 0.1  # from here intake remarks on it; less is dense cortical bone or noise
_SEX = {"F": "female", "M": "male", "O": "other"}

CaseGroups = Mapping[str, Mapping[str, str]]


def case_groups(cases: Iterable[Case]) -> CaseGroups:
    """Trait → case id → group: side, sex, scanner, implant, cut-off bone; a case about which nobody said is in none.

    A trait that puts all cases into one group is left out: it divides nothing.
    """
    groups: dict[str, dict[str, str]] = {"side": {}, "sex": {}, "scanner": {}, "implant": {}, "femur": {}}
    for case in cases:
        facts = case.facts
        if facts.side is not None:
            groups["side"][case.case_id] = facts.side
        if facts.sex is not None:
            groups["sex"][case.case_id] = _SEX[facts.sex]
        if facts.scanner is not None:
            groups["scanner"][case.case_id] = facts.scanner
        groups["implant"][case.case_id] = "metal" if facts.metal_ml >= _METAL_ML else "no metal"
        groups["femur"][case.case_id] = "cut off" if facts.cut_off else "whole"
    return {trait: by_case for trait, by_case in groups.items() if len(set(by_case.values())) > 1}


def patients_with_several(cases: Iterable[Case]) -> int:
    """How many patients have more than one of these cases, for instance both femurs: such cases are alike."""
    return sum(count > 1 for count in Counter(case.patient_id for case in cases).values())
