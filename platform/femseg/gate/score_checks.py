"""Is a version good enough, by scores recomputed from its masks, and no worse than the champion on the same cases?"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.case import Case
from femseg.cohorts.manifest import read_case_mask
from femseg.comparison.bootstrap import mean_interval
from femseg.gate.decision import Check
from femseg.gate.rules import Acceptable, NonInferiority, PromotionRules
from femseg.gate.test_set import FrozenTestSet
from femseg.metrics.definitions import METRICS, Metric, metric_named
from femseg.metrics.scorecard import CaseScore, score, summary

_SAME_VALUE = 1e-6
_IMPROVE = "improve the model, or argue for other rules in promotion.yaml"

Scores = Sequence[CaseScore]


def recomputed(test_set: FrozenTestSet, femur_zyx: Callable[[Case], NDArray[np.bool_]]) -> tuple[CaseScore, ...]:
    """Scores of predicted masks against the reference masks, on each CT's own grid.

    Raises: Refusal ST-05 (exit 4) if a reference mask is not the one that was checked.
    """
    return tuple(
        score(
            read_case_mask(case, test_set.root).femur_zyx,
            femur_zyx(case),
            case.grid.spacing_mm_zyx,
            case_id=case.case_id,
            grid="native",
        )
        for case in test_set.cases
    )


def recorded_checks(scores: Scores, reported: Scores, metrics: Mapping[str, float]) -> Iterator[Check]:
    """RG-03: the scorecard and MLflow say what the masks say."""
    fix = "find out who changed it; run `dvc repro evaluate` and `make register` again"
    rows = [row for row in reported if row.grid == "native"]
    reported_by_case = {row.case_id: row for row in rows}
    differing = [row.case_id for row in scores if not _same_scores(row, reported_by_case.get(row.case_id))]
    yield Check(
        id="RG-03",
        name="reported scorecard",
        passed=not differing and len(rows) == len(scores),
        found=f"differs in {len(differing)} of {len(scores)} cases"
        + (f" ({differing[0]} …)" if differing else "")
        + (f", and has {len(rows)} rows" if len(rows) != len(scores) else ""),
        expected="what the saved masks give",
        fix=fix,
    )
    here = float(np.mean([row.dice for row in scores]))
    recorded = _recorded(metrics, "dice")
    yield Check(
        id="RG-03",
        name="mean Dice in MLflow",
        passed=bool(recorded) and all(abs(value - here) <= _SAME_VALUE for value in recorded),
        found=", ".join(f"{value:.6g}" for value in recorded) or "none",
        expected=f"{here:.6f}, recomputed from the saved masks",
        fix=fix,
    )
    means = {name: one["mean"] for name, one in summary(scores)["native"].items()}
    kept = [(name, value) for name in means for value in _recorded(metrics, name)]
    wrong = [(name, value) for name, value in kept if not _same_value(means[name], value)]
    yield Check(
        id="RG-03",
        name="means of all metrics in MLflow",
        passed=not wrong,
        found=", ".join(f"{name} {value:.6g}" for name, value in wrong) or "as recomputed",
        expected=", ".join(f"{name} {means[name]}" for name, _ in wrong) or "what the saved masks give",
        fix=fix,
    )


def _recorded(metrics: Mapping[str, float], name: str) -> list[float]:
    """The mean of a metric on the CTs' own grids as a run has it; a version of femseg 0.1 has it by the second name."""
    return [metrics[key] for key in (f"test/native/{name}", f"test.native.{name}.mean") if key in metrics]


def _same_scores(ours: CaseScore, theirs: CaseScore | None) -> bool:
    return theirs is not None and all(
        _same_value(getattr(ours, metric.name), getattr(theirs, metric.name)) for metric in METRICS
    )


def _same_value(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=_SAME_VALUE, abs_tol=_SAME_VALUE)


def acceptable_checks(scores: Scores, test_set: FrozenTestSet, rules: PromotionRules) -> Iterator[Check]:
    """RG-02: enough cases; mean, worst case and subgroups of every metric that has a bound."""
    yield Check(
        id="RG-02",
        name="test cases",
        passed=len(scores) >= rules.fewest_cases,
        found=f"{len(scores)}",
        expected=f"at least {rules.fewest_cases}",
        fix="hold out more patients (split.test)",
    )
    for name, bound in rules.acceptable.items():
        yield from _bound_checks(scores, test_set, metric_named(name), bound, fewest=rules.subgroup_cases)


def _bound_checks(
    scores: Scores, test_set: FrozenTestSet, metric: Metric, bound: Acceptable, *, fewest: int
) -> Iterator[Check]:
    values = {row.case_id: getattr(row, metric.name) for row in scores}
    yield _bound_check(f"mean {metric.title}", metric, list(values.values()), bound.mean)
    defined = {case: metric.compared(value) for case, value in values.items() if value is not None}
    undefined = sorted(values.keys() - defined.keys())
    worst = undefined[0] if undefined else min(defined, key=lambda case: metric.gain(defined[case]), default="")
    yield _bound_check(f"worst {metric.title} ({worst})", metric, [values.get(worst)], bound.worst_case)
    for trait, by_case in test_set.groups.items():
        for group in sorted(set(by_case.values())):
            members = [values[case] for case in values if by_case.get(case) == group]
            if len(members) >= fewest:
                name = f"mean {metric.title} of {trait} {group} ({len(members)} cases)"
                yield _bound_check(name, metric, members, bound.subgroup_mean)


def _bound_check(name: str, metric: Metric, values: Sequence[float | None], bound: float) -> Check:
    """The mean of values lies on the right side; a case without a value has failed."""
    known = [metric.compared(value) for value in values if value is not None]
    whole = bool(known) and len(known) == len(values)
    mean = float(np.mean(known)) if whole else math.nan
    unit = f" {metric.unit}" if metric.unit else ""
    side = "at least" if metric.better == "higher" else "at most"
    return Check(
        id="RG-02",
        name=name,
        passed=whole and metric.gain(mean - bound) >= 0,
        found=f"{mean:.4f}{unit}" if whole else f"undefined in {len(values) - len(known)} of {len(values)} cases",
        expected=f"{side} {bound:g}{unit}",
        fix=_IMPROVE,
    )


def non_inferiority_check(champion: Scores, challenger: Scores, rule: NonInferiority, *, version: int) -> Check:
    """RG-02: the interval of the mean gain over the champion lies above minus the margin, paired by case."""
    metric = metric_named(rule.metric)
    before = {row.case_id: getattr(row, rule.metric) for row in champion}
    after = {row.case_id: getattr(row, rule.metric) for row in challenger}
    pairs = [(before[case], after[case]) for case in sorted(before) if case in after]
    name = f"{metric.title} against champion version {version}"
    expected = f"the {rule.confidence:.0%} interval of the mean gain above -{rule.margin:g}"
    whole = [(float(a), float(b)) for a, b in pairs if a is not None and b is not None]
    if before.keys() != after.keys() or len(whole) != len(pairs) or not pairs:
        found = f"only {len(whole)} of {len(before.keys() | after.keys())} cases have a value on both sides"
        return Check(id="RG-02", name=name, passed=False, found=found, expected=expected, fix=_IMPROVE)
    values = np.array([[metric.compared(value) for value in pair] for pair in whole])
    gains = np.round([metric.gain(b - a) for a, b in values], 12)
    interval = mean_interval(gains, confidence=rule.confidence, resamples=rule.resamples, seed=rule.seed)
    equal_everywhere = np.ptp(gains) == 0  # no spread, and so no interval
    low = float(gains[0]) if equal_everywhere else interval.low
    bounds = f"{interval.low:+.4f} to {interval.high:+.4f}" if interval.low is not None else interval.method
    return Check(
        id="RG-02",
        name=name,
        passed=low is not None and low > -rule.margin,
        found=f"{values[:, 1].mean():.4f} against {values[:, 0].mean():.4f}, mean gain {gains.mean():+.4f} ({bounds})",
        expected=expected,
        fix=_IMPROVE,
    )
