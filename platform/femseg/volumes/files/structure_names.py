"""Names of a mask's structures, told apart where two bear the same."""

from collections import Counter
from collections.abc import Iterable


def unique_names(numbered: Iterable[tuple[int, str]]) -> dict[str, int]:
    """Each structure's name with its number; a name borne twice gets the number added, as in "femur (2)".

    Number 0 is background and left out.
    """
    found = [(number, name.strip() or "unnamed") for number, name in numbered if number != 0]
    counts = Counter(name for _, name in found)
    return {name if counts[name] == 1 else f"{name} ({number})": number for number, name in found}
