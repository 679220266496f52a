"""What makes a run itself: its checkpoints are gone on from by the same run alone, and another one is told apart."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from femseg.errors import Refusal, printable
from femseg.training.agreement import refused_together, summed_over_ranks
from femseg.training.checkpoint import (
    Checkpoint,
    committed_content,
    committed_iterations,
    newest_good_checkpoint,
    read_checkpoint,
)
from femseg.training.context import TrainerContext


def differing_keys(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Every key in which two fingerprints differ, with both values."""
    there, now = _flat(found), _flat(expected)
    return [
        f"{key}: {there.get(key, 'absent')} there, {now.get(key, 'absent')} now"
        for key in sorted(there.keys() | now.keys())
        if there.get(key, "absent") != now.get(key, "absent")
    ]


def refuse_other_run(checkpoint: Checkpoint, fingerprint: dict[str, Any], folder: Path) -> None:
    """Raises: Refusal (TR-11, exit 2) listing every key in which the checkpoint's run differs from this one."""
    if differing := differing_keys(checkpoint.fingerprint, fingerprint):
        fix = "use the settings and data that it was started with, or another run folder"
        raise Refusal.of("TR-11", folder, f"holds checkpoints of another run ({'; '.join(differing)})", fix)


def newest_checkpoint_of_run(folder: Path, fingerprint: dict[str, Any], context: TrainerContext) -> Checkpoint | None:
    """The newest good checkpoint, which rank 0 chooses for all; None where there is none. Every rank must call it.

    Raises: Refusal, as `newest_good_checkpoint` and `refuse_other_run`.
    """
    checkpoint = None
    with refused_together(context.device):
        if context.rank == 0:
            checkpoint = newest_good_checkpoint(folder, context.say)
            if checkpoint:
                refuse_other_run(checkpoint, fingerprint, folder)
    iteration = int(summed_over_ranks([checkpoint.iteration if checkpoint else 0], context.device)[0])
    return checkpoint or (read_checkpoint(folder, iteration) if iteration else None)


def nearest_other_run(folder: Path, fingerprint: dict[str, Any]) -> str:
    """For a run that is about to start: which run beside it differs least, how far that is, and in what it differs.

    Run folders are `<name>-<fingerprint>`: a changed setting starts a new run. Who did not mean to is told (TR-11).
    Returns: "" if this run has begun already, or there is no other of its name.
    """
    if committed_iterations(folder):
        return ""
    others = [(differing_keys(found, fingerprint), other, last) for other, last, found in _runs_beside(folder)]
    if not others:
        return ""
    differing, other, iteration = min(others, key=lambda item: (len(item[0]), -item[2], item[1]))
    return (
        f"a new run; {printable(other)} has come to iteration {iteration} and stays as it is; "
        f"it differs in {'; '.join(map(printable, differing))}"
    )


def _runs_beside(folder: Path) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """Folders of the same name and another fingerprint: folder, newest committed iteration, fingerprint."""
    name = folder.name.rpartition("-")[0]
    for other in sorted(folder.parent.glob(f"{name}-*")):
        committed = committed_iterations(other) if other != folder else []
        if committed and other.name.rpartition("-")[0] == name:
            try:
                yield other, committed[-1], dict(committed_content(other, committed[-1])["fingerprint"])
            except (Refusal, TypeError, ValueError):
                continue  # torn: its own run will say so


def _flat(value: Any, where: str = "") -> dict[str, Any]:
    """Nested dictionaries as dotted keys, in JSON's types."""
    if not isinstance(value, dict):
        return {where: json.loads(json.dumps(value))}
    return {k: v for name, part in value.items() for k, v in _flat(part, f"{where}.{name}" if where else name).items()}
