"""A comparison in one sentence that claims no more than its numbers."""

from femseg.comparison.paired import PairedComparison
from femseg.comparison.verdict import excludes_zero, same_way
from femseg.metrics.definitions import Metric, metric_named
from femseg.paths import CASCADE


def sentence(comparison: PairedComparison) -> str:
    """What a paired comparison allows one to say, in plain words: the verdict, its numbers, and their reach."""
    return " ".join(part for part in (f"{_opening(comparison)}.", numbers(comparison), reach(comparison)) if part)


def numbers(comparison: PairedComparison) -> str:
    """The numbers of a comparison in one sentence."""
    metric = metric_named(comparison.metric)
    before, after = comparison.baseline_mean, comparison.candidate_mean
    if before is None or after is None:
        left_out = _left_out(comparison)
        return f"{metric.title}: no case has a value for both inputs, so nothing can be compared.{left_out}"
    what = f"size of the {metric.heading.lower()}" if metric.better == "nearer to zero" else metric.heading
    means = (
        f"Mean {what} {after:.{metric.decimals}f} with {input_name(comparison.candidate)} "
        f"against {before:.{metric.decimals}f} with {input_name(comparison.baseline)}"
    )
    count = f"better in {comparison.improved} of {comparison.n} cases"
    ties = f", equal in {comparison.tied}" if comparison.tied else ""
    return f"{means} ({_evidence(comparison, metric)}); {count}{ties}.{_left_out(comparison)}"


def reach(comparison: PairedComparison) -> str:
    """What the numbers say about a difference that matters, and how small a difference could have been shown."""
    parts = (_parted(comparison), _short_of_the_level(comparison), _beside_the_margin(comparison), _power(comparison))
    return " ".join(part for part in parts if part)


def verdict_words(comparison: PairedComparison) -> str:
    """The verdict as it is printed: too few cases, or cases enough of which too few are unequal."""
    return too_few(comparison) if comparison.verdict == "too few cases" else comparison.verdict


def too_few(comparison: PairedComparison) -> str:
    """What there are too few of, where that is the verdict."""
    enough = comparison.n > 0 and 2.0 ** (1 - comparison.n) * comparison.tests <= comparison.level
    return "too few unequal pairs" if enough and comparison.tied else "too few cases"


def _parted(comparison: PairedComparison) -> str:
    test, interval = comparison.test, comparison.interval
    passed = comparison.adjusted_p is not None and comparison.adjusted_p < comparison.level
    if not passed or not excludes_zero(interval) or same_way(interval, test):
        return ""
    return "Most cases moved one way and the mean the other: look at the cases one by one."


def _short_of_the_level(comparison: PairedComparison) -> str:
    """Why no difference is shown though the interval has no 0 in it."""
    p, level = comparison.adjusted_p, comparison.level
    if comparison.verdict != "no difference shown" or not excludes_zero(comparison.interval) or p is None or p < level:
        return ""
    return (
        f"The interval holds no 0, but Wilcoxon's test does not fall below {level:.2g} (p {p_text(p)}): a difference "
        "counts as shown where both say so, and here they disagree."
    )


def _beside_the_margin(comparison: PairedComparison) -> str:
    if not comparison.margin or comparison.mean_difference is None or comparison.verdict == "too few cases":
        return ""
    metric = metric_named(comparison.metric)
    margin = f"{comparison.margin:.{metric.decimals}f}"
    shown = comparison.verdict in ("better", "worse")
    match comparison.relevance:
        case "beyond the margin":
            return f"The interval lies wholly beyond {margin}, the smallest difference that is set to matter."
        case "within the margin" if shown:
            return f"It is smaller than {margin}, the smallest difference that is set to matter."
        case "within the margin":
            return f"The interval leaves no room for a difference of {margin}, the smallest that is set to matter."
        case "undecided" if shown:
            return f"Whether it reaches {margin}, the smallest difference that is set to matter, stays open."
        case "undecided":
            return f"A difference of {margin}, the smallest that is set to matter, is not excluded either."


def _power(comparison: PairedComparison) -> str:
    if comparison.detectable_difference is None:
        return ""
    metric = metric_named(comparison.metric)
    return (
        f"With {comparison.n} cases that scatter as these do, a mean difference of "
        f"{comparison.detectable_difference:.{metric.decimals}f} would have been shown in 80 % of such studies; "
        "a smaller one may well be missed."
    )


def _opening(comparison: PairedComparison) -> str:
    match comparison.verdict:
        case "better" | "worse":
            return f"{input_name(comparison.candidate).capitalize()} is {comparison.verdict} here"
        case "too few cases":
            return f"{too_few(comparison).capitalize()} to tell"
        case "no difference shown":
            return "No difference shown"


def _evidence(comparison: PairedComparison, metric: Metric) -> str:
    interval, test = comparison.interval, comparison.test
    parts = [f"difference {signed(comparison.mean_difference, metric.decimals)}", interval.method]
    if interval.low is not None and interval.high is not None:
        parts[1] = f"{interval.confidence * 100:g} % interval {span(interval.low, interval.high, metric.decimals)}"
    if test.p_value is None or test.smallest_p is None:
        parts.append(test.method)
    else:
        parts.append(f"Wilcoxon p {p_text(test.p_value)}")
        if comparison.tests > 1 and comparison.adjusted_p is not None:
            adjusted_p = p_text(comparison.adjusted_p).removeprefix("= ")
            parts.append(f"{adjusted_p} after adjustment for {comparison.tests} tests")
        if comparison.permutation.p_value is not None:
            parts.append(f"sign-flip permutation p {p_text(comparison.permutation.p_value)}")
        if test.rank_biserial is not None:
            parts.append(f"rank-biserial correlation {signed(test.rank_biserial, 2)}")
        if comparison.verdict == "too few cases" and comparison.tests == 1:
            parts.append(f"with so few unequal pairs p cannot fall below {test.smallest_p:.3g}")
    return "; ".join(parts)


def _left_out(comparison: PairedComparison) -> str:
    count = len(comparison.undefined_pairs)
    if not count:
        return ""
    return f" {count} case{'s' if count > 1 else ''} left out: a mask is empty there, so the metric is undefined."


def input_name(mode: str) -> str:
    """An input mode in a sentence."""
    if mode.startswith(CASCADE):
        training = mode.removeprefix(CASCADE)
        return "cascade" if training == "best" else f"cascade with {training} input"
    return "two-channel input" if mode == "both" else f"{mode} input"


def column_name(mode: str) -> str:
    """The same at the head of a column."""
    return input_name(mode).removesuffix(" input") if mode.startswith(CASCADE) else mode


def signed(value: float | None, decimals: int) -> str:
    """A difference with its sign, and a true minus."""
    if value is None or value == 0:
        return "undefined" if value is None else "0"
    return f"{value:+.{decimals}f}".replace("-", "−")


def span(low: float, high: float, decimals: int) -> str:
    """Both ends of an interval, signed; up to two digits more where an end would be rounded to zero and is not."""
    for digits in (decimals, decimals + 1, decimals + 2):
        if not any(end != 0 and round(end, digits) == 0 for end in (low, high)):
            break
    return f"{signed(low, digits)} to {signed(high, digits)}"


def p_text(p_value: float) -> str:
    """A p-value as it is printed, with its sign: "= 0.031", "< 0.001"."""
    if p_value < 0.001:
        return "< 0.001"
    return f"= {p_value:.3f}" if p_value < 0.9995 else "= 1"
