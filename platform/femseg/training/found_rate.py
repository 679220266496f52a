"""The learning rate that a search left for the trainings after it: a number, whatever else its file may hold."""

import math
from pathlib import Path

from femseg.durable import read_json
from femseg.errors import ExitCode, Fault, Refusal, printable


def found_rate(best: Path, input_mode: str) -> float | None:
    """What `best.json` names as the best rate of one input mode; None if the search has none for it.

    Raises: Refusal ST-02 (exit 4) if the file is missing or torn, or holds something else than a number above 0.
    """
    plain = read_json(best)
    modes = plain.get("best") if isinstance(plain, dict) else None
    found = modes.get(input_mode) if isinstance(modes, dict) else None
    if found is None:
        return None
    rate = found.get("learning_rate") if isinstance(found, dict) else None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        problem = f"holds the learning rate {printable(repr(rate))[:80]}, expected a number above 0"
        fix = "run the stage that writes it again (`dvc repro search`), or `dvc pull`"
        raise Refusal(Fault(id="ST-02", file=str(best), problem=problem, fix=fix, exit_code=ExitCode.INTEGRITY))
    return float(rate)
