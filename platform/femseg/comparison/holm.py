"""Several tests of one question: what is left of each p-value."""

from collections.abc import Sequence


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
