"""One question asked of many metrics: which of them may be believed?"""

from collections.abc import Sequence

from femseg.comparison.paired import PairedComparison
from femseg.metrics.scorecard import Grid
from femseg.paths import CASCADE, cascade_name


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the given order: the chance that *any* true null hypothesis is rejected stays at the level.

    Needs no independence, as metrics of one pair of masks are anything but independent.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


PRIMARY_METRIC = "dice"
PRIMARY_GRID: Grid = "network"  # where the paper measures


def baseline_of(candidate: str, models: Sequence[str]) -> str:
    """What a model is compared with: the first input; of a cascade the cascade with that input, if there is one.

    Args:
        models: names of all that are compared, the first input first.
    """
    of_cascades = cascade_name(models[0])
    own = candidate.startswith(CASCADE) and candidate != of_cascades and of_cascades in models
    return of_cascades if own else models[0]


def deciding_grid(baseline: str) -> Grid:
    """Where Dice answers the question: the network grid; between cascades, which differ by less, the CT's own."""
    return "native" if baseline.startswith(CASCADE) else PRIMARY_GRID


def is_primary(comparison: PairedComparison) -> bool:
    """Whether this is the comparison that was chosen beforehand to answer the question."""
    return (comparison.metric, comparison.grid) == (PRIMARY_METRIC, deciding_grid(comparison.baseline))


def as_one_family(comparisons: Sequence[PairedComparison]) -> tuple[PairedComparison, ...]:
    """Adjust all comparisons of one candidate with the baseline, so that the level holds for all of them together.

    Dice on the deciding grid was named beforehand and is tested alone, at the full level. The others come behind it:
    adjusted by Holm among themselves, and never smaller than Dice's own p. This is a gatekeeping procedure (Dmitrienko
    & Tamhane 2007): the chance that anything at all is wrongly said to differ stays at the level, and Dice pays nothing
    for the company. Twelve metrics on two grids in one plain Holm family would ask 24 times as much of Dice.

    Raises: ValueError unless exactly one of them is the primary comparison, and all are of one candidate.
    """
    primaries = [comparison for comparison in comparisons if is_primary(comparison)]
    if len(primaries) != 1 or len({(c.baseline, c.candidate) for c in comparisons}) != 1:
        raise ValueError("a family is one candidate against one baseline, with one comparison of Dice on its grid")
    gate = 1.0 if primaries[0].adjusted_p is None else primaries[0].adjusted_p
    behind = [c for c in comparisons if not is_primary(c)]
    tested = [c for c in behind if c.test.p_value is not None]
    adjusted = holm([c.test.p_value for c in tested if c.test.p_value is not None])
    p_of = {(c.metric, c.grid): max(gate, p) for c, p in zip(tested, adjusted, strict=True)}
    return tuple(
        c if is_primary(c) else c.among(max(1, len(tested)), p_of.get((c.metric, c.grid))) for c in comparisons
    )
