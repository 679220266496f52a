"""Checkpoints: a folder `step-000123/` whose COMMIT is written last and holds the hash of the state beside it."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from femseg.durable import read_json, sha256_of_json, write_bytes_durably, write_json_durably
from femseg.errors import ExitCode, Fault, Refusal, printable

_STATE, _COMMIT, _CORRUPT = "state.pt", "COMMIT", ".corrupt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint whose hashes held.

    Attributes:
        iteration: the last one it contains.
        fingerprint: settings, data and code of the run that wrote it, as that run's caller stated them.
        state: tensors, plain numbers, strings, lists and dictionaries.
    """

    iteration: int
    fingerprint: dict[str, Any]
    state: dict[str, Any]


def checkpoint_folder(folder: Path, iteration: int) -> Path:
    """Where the checkpoint of one iteration lies."""
    return folder / f"step-{iteration:06d}"


def write_checkpoint(folder: Path, iteration: int, state: dict[str, Any], fingerprint: dict[str, Any]) -> Path:
    """Write a checkpoint; it counts once its COMMIT is there. Raises: Refusal (exit 5) if the disk will not take it."""
    target = checkpoint_folder(folder, iteration)
    (target / _COMMIT).unlink(missing_ok=True)
    stream = io.BytesIO()
    torch.save(state, stream)
    sha256 = write_bytes_durably(target / _STATE, stream.getvalue())
    content = {"iteration": iteration, "sha256": sha256, "fingerprint": fingerprint}
    write_json_durably(target / _COMMIT, {"content": content, "sha256_of_content": sha256_of_json(content)})
    return target


def read_checkpoint(folder: Path, iteration: int) -> Checkpoint:
    """Read one checkpoint after its hashes hold. Raises: Refusal (exit 4) naming the file that is torn or altered."""
    target = checkpoint_folder(folder, iteration)
    commit = read_json(target / _COMMIT)
    try:
        content = commit["content"]
        intact = (
            commit["sha256_of_content"] == sha256_of_json(content)
            and (target / _COMMIT).read_text() == json.dumps(commit, indent=2, sort_keys=True) + "\n"
            and content["iteration"] == iteration
        )
    except (KeyError, TypeError, UnicodeDecodeError):
        intact = False
    if not intact:
        raise Refusal(_torn(target / _COMMIT, "its own hash does not hold"))
    try:
        state_bytes = (target / _STATE).read_bytes()
    except OSError as error:
        raise Refusal(_torn(target / _STATE, f"cannot be read: {error.strerror}")) from None
    found = hashlib.sha256(state_bytes).hexdigest()
    if found != content["sha256"]:
        raise Refusal(_torn(target / _STATE, f"SHA-256 is {found[:12]}…, expected {content['sha256'][:12]}…"))
    state = torch.load(io.BytesIO(state_bytes), map_location="cpu", weights_only=True)
    return Checkpoint(iteration=iteration, fingerprint=content["fingerprint"], state=state)


def newest_good_checkpoint(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint whose hashes hold; a torn or altered one is renamed `.corrupt` and named to `say`.

    Folders without COMMIT are saves that were interrupted: they never counted.
    Returns: None in a folder where no checkpoint was ever committed.
    Raises: Refusal (TR-03, exit 4) if there were some and none is good.
    """
    for iteration in reversed(_committed(folder)):
        try:
            return read_checkpoint(folder, iteration)
        except Refusal as refusal:
            torn = checkpoint_folder(folder, iteration)
            aside = _free_name(torn)
            torn.rename(aside)
            say(f"warning TR-03: {printable(torn)} is set aside as {aside.name}: {refusal.faults[0].problem}")
    corrupt = sorted(folder.glob(f"step-*{_CORRUPT}*"))
    if corrupt:
        raise Refusal(_torn(corrupt[-1], f"none of the {len(corrupt)} checkpoints of this run is good"))
    return None


def refuse_other_run(checkpoint: Checkpoint, fingerprint: dict[str, Any], folder: Path) -> None:
    """Raises: Refusal (TR-11, exit 2) listing every key in which the checkpoint's run differs from this one."""
    found, expected = _flat(checkpoint.fingerprint), _flat(fingerprint)
    differing = [
        f"{key}: {found.get(key, 'absent')} there, {expected.get(key, 'absent')} now"
        for key in sorted(found.keys() | expected.keys())
        if found.get(key, "absent") != expected.get(key, "absent")
    ]
    if differing:
        raise Refusal(
            Fault(
                id="TR-11",
                file=str(folder),
                problem=f"holds checkpoints of another run ({'; '.join(differing)})",
                fix="use the settings and data that it was started with, or another run folder",
                exit_code=ExitCode.USAGE,
            )
        )


def discard_old_checkpoints(folder: Path, *, newest: int, also_keep: Collection[int] = ()) -> None:
    """Delete all but the newest committed checkpoints, those of `also_keep`, and what was set aside as corrupt.

    To be called after a checkpoint was written, which proves its state by reading it back.
    """
    committed = _committed(folder)
    keep = {*committed[-newest:], *also_keep}
    for path in folder.glob("step-*"):
        number = path.name.removeprefix("step-")
        if number.isdigit() and int(number) not in keep:
            (path / _COMMIT).unlink(missing_ok=True)  # first, so that a half-deleted one does not count
            shutil.rmtree(path)


def _committed(folder: Path) -> list[int]:
    numbers = (path.parent.name.removeprefix("step-") for path in folder.glob(f"step-*/{_COMMIT}"))
    return sorted(int(number) for number in numbers if number.isdigit())


def _free_name(torn: Path) -> Path:
    names = (torn.with_name(f"{torn.name}{_CORRUPT}{suffix}") for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
    return next(name for name in names if not name.exists())


def _flat(value: Any, where: str = "") -> dict[str, Any]:
    """Nested dictionaries as dotted keys, in JSON's types."""
    if not isinstance(value, dict):
        return {where: json.loads(json.dumps(value))}
    return {k: v for name, part in value.items() for k, v in _flat(part, f"{where}.{name}" if where else name).items()}


def _torn(path: Path, problem: str) -> Fault:
    fix = "restore the run folder from a copy, or remove it to start this training anew"
    return Fault(id="TR-03", file=str(path), problem=problem, fix=fix, exit_code=ExitCode.INTEGRITY)
