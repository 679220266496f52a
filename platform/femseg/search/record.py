"""What a search is, as its folder remembers it: one that has not ended goes on as it was begun, or not at all."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from femseg.errors import Refusal, printable
from femseg.files.durable import read_json, sha256_of_json, write_json_durably
from femseg.search.halving import SearchSettings, first_trials
from femseg.settings import as_plain

Space = Mapping[str, Any]
_SHOWN = 8


def search_space(
    settings: SearchSettings, input_modes: Sequence[str], fingerprints: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """All that decides a search's trial table, as JSON values; how many trials may fail and on what they run do not.

    Args:
        fingerprints: by input mode, the fingerprint of a trial's job; of it counts what all trials of a mode share.
    """
    chosen = {key: value for key, value in as_plain(settings).items() if key in _DECIDING}
    shared = next(iter(fingerprints.values()))
    return {
        "input_modes": list(input_modes),
        "first_learning_rates": sorted({trial.learning_rate for trial in first_trials(settings, input_modes)}),
        **chosen,
        **{f"inputs_{mode}": fingerprints[mode]["inputs"] for mode in input_modes},
        **{key: shared[key] for key in ("masks", "split", "network", "optimisation", "code")},
    }


_DECIDING = ("learning_rate", "searcher", "trials_per_mode", "rungs", "keep", "wave", "seed")


def space_folder(folder: Path, space: Space) -> Path:
    """Where the trials of one space lie, below the folder of a search's name."""
    return folder / sha256_of_json(space)[:12]


def begin(folder: Path, space: Space, say: Callable[[str], None]) -> Path:
    """Remember that the search of this space is on, unless another one is; the folder of its trials.

    Args:
        folder: of the search's name, claimed by this process.
    Raises: Refusal SE-05 (exit 2), listing what was added and removed, if a search of another space was begun here and
        has not ended; SE-02 (exit 4) if the record is torn and nothing else says that this space was searched.
    """
    record, mine = folder / "search.json", space_folder(folder, space)
    if record.exists():
        known = _read(record)
        if known is None and not mine.is_dir():
            problem = "is torn, and no trial of these settings is here: which search was begun cannot be told"
            fix = "give the settings back with which it was begun, or remove this file to start anew"
            raise Refusal.of("SE-02", record, problem, fix)
        if known is None:
            say(f"warning SE-02: {record}: is torn; written anew, for the trials of these settings are here")
        elif known["space"] == space:
            return mine
        elif not known["ended"]:
            differing = "; ".join(changes(known["space"], space))
            problem = f"a search was begun here and has not ended, of another space ({differing})"
            fix = "give the settings back to go on, or start anew: change search.name, or remove this folder"
            raise Refusal.of("SE-05", folder, problem, fix)
    _write(record, space, ended=False)
    return mine


def end(folder: Path, space: Space) -> None:
    """Remember that all trials have ended: from now on another space may take the name."""
    _write(folder / "search.json", space, ended=True)


def changes(there: Space, now: Space) -> list[str]:
    """Every key in which two spaces differ: of lists the values that were added and removed, of others both values."""
    told = []
    for key in sorted(there.keys() | now.keys()):
        before, after = there.get(key), now.get(key)
        if before == after:
            continue
        if key in ("input_modes", "first_learning_rates", "rungs") and before and after:
            added, removed = [v for v in after if v not in before], [v for v in before if v not in after]
            parts = (("added", added), ("removed", removed))
            words = "; ".join(f"{what} {_some(values)}" for what, values in parts if values) or "another order"
        else:
            words = f"{_short(before)} there, {_short(after)} now"
        told.append(f"{key}: {words}")
    return told


def _some(values: Sequence[Any]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(str(value) for value in values[:_SHOWN]) + more


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def _read(record: Path) -> dict[str, Any] | None:
    """The record, or None if it is torn or altered."""
    try:
        written = read_json(record)
        content: dict[str, Any] = written["content"]
        return content if written["sha256_of_content"] == sha256_of_json(content) else None
    except (Refusal, KeyError, TypeError):
        return None


def _write(record: Path, space: Space, *, ended: bool) -> None:
    content = {"space": dict(space), "ended": ended}
    write_json_durably(record, {"content": content, "sha256_of_content": sha256_of_json(content)})


def searched_learning_rate(best: Path, input_mode: str) -> float | None:
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
        raise Refusal.of("ST-02", best, problem, fix)
    return float(rate)
