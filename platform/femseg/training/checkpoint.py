"""Checkpoints: a folder `step-000123/` whose COMMIT is written last and holds the hash of the state beside it."""

import hashlib
import io
import json
import pickle
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from femseg.errors import Fault, Refusal, printable, words_of
from femseg.faults import ExitCode
from femseg.files.durable import (
    read_json,
    refuse_if_unwritable,
    sha256_of_json,
    write_bytes_durably,
    write_json_durably,
)

_STATE, _COMMIT, _CORRUPT = "state.pt", "COMMIT", ".corrupt"
_RETENTION = "ST-07"


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
    target, stream = checkpoint_folder(folder, iteration), io.BytesIO()
    torch.save(state, stream)
    try:
        _uncommit(target)
        sha256 = write_bytes_durably(target / _STATE, stream.getvalue())
        content = {"iteration": iteration, "sha256": sha256, "fingerprint": fingerprint}
        write_json_durably(target / _COMMIT, {"content": content, "sha256_of_content": sha256_of_json(content)})
    except Refusal as refusal:
        free = shutil.disk_usage(folder).free if folder.exists() else 0
        room = f"{len(stream.getvalue())} bytes are needed, {free} are free"
        raise Refusal([replace(fault, problem=f"{fault.problem} ({room})") for fault in refusal.faults]) from None
    return target


def _uncommit(target: Path) -> None:
    """From now on the checkpoint does not count, until it is written whole."""
    try:
        (target / _COMMIT).unlink(missing_ok=True)
    except OSError as error:
        refuse_if_unwritable(target / _COMMIT, error)
        raise


def read_checkpoint(folder: Path, iteration: int) -> Checkpoint:
    """Read one checkpoint after its hashes hold.

    Raises: Refusal TR-03 (exit 4) naming the file that is torn or altered, SC-01 (exit 9) if it holds more than tensors
        and plain values.
    """
    content, state_bytes = _proved(folder, iteration)
    file = checkpoint_folder(folder, iteration) / _STATE
    try:
        state = torch.load(io.BytesIO(state_bytes), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        problem = "holds more than tensors and plain values: a pickle that would run code; it was not loaded"
        fix = "do not load it anywhere; remove the run folder, and find out who wrote there"
        raise Refusal.of("SC-01", file, problem, fix) from None
    except (RuntimeError, ValueError, EOFError) as error:
        raise Refusal(_torn(file, f"cannot be read though its hash holds ({words_of(error)})")) from None
    return Checkpoint(iteration=iteration, fingerprint=content["fingerprint"], state=state)


def _proved(folder: Path, iteration: int) -> tuple[dict[str, Any], bytes]:
    """What COMMIT says and the bytes of the state, all hashes checked."""
    content = committed_content(folder, iteration)
    target = checkpoint_folder(folder, iteration)
    try:
        state_bytes = (target / _STATE).read_bytes()
    except OSError as error:
        raise Refusal(_torn(target / _STATE, f"cannot be read: {error.strerror}")) from None
    found = hashlib.sha256(state_bytes).hexdigest()
    if found != content["sha256"]:
        raise Refusal(_torn(target / _STATE, f"SHA-256 is {found[:12]}…, expected {content['sha256'][:12]}…"))
    return content, state_bytes


def committed_content(folder: Path, iteration: int) -> dict[str, Any]:
    """What a checkpoint's COMMIT says: iteration, sha256 of the state, fingerprint. Raises: Refusal (exit 4)."""
    target = checkpoint_folder(folder, iteration)
    commit = read_json(target / _COMMIT)
    try:
        content = commit["content"]
        intact = (
            commit["sha256_of_content"] == sha256_of_json(content)
            and (target / _COMMIT).read_text() == json.dumps(commit, indent=2, sort_keys=True) + "\n"
            and content["iteration"] == iteration
        )
    except (KeyError, TypeError, UnicodeDecodeError, OSError):
        intact = False
    if not intact:
        raise Refusal(_torn(target / _COMMIT, "its own hash does not hold"))
    return dict(content)


def newest_good_checkpoint(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint whose hashes hold; a torn or altered one is renamed `.corrupt` and named to `say`.

    Folders without COMMIT are saves that were interrupted: they never counted.
    Returns: None in a folder where no checkpoint was ever committed.
    Raises: Refusal TR-03 (exit 4) if there were some and none is good, SC-01 (exit 9) if one carries code: that is no
        accident.
    """
    for iteration in reversed(committed_iterations(folder)):
        try:
            return read_checkpoint(folder, iteration)
        except Refusal as refusal:
            if refusal.exit_code == ExitCode.SECURITY:
                raise
            say(f"warning TR-03: {_set_aside(checkpoint_folder(folder, iteration))}: {refusal.faults[0].problem}")
    corrupt = sorted(folder.glob(f"step-*{_CORRUPT}*"))
    if corrupt:
        raise Refusal(_torn(corrupt[-1], f"none of the {len(corrupt)} checkpoints of this run is good"))
    return None


def discard_old_checkpoints(
    folder: Path, *, newest: int, also_keep: Collection[int] = (), say: Callable[[str], None]
) -> None:
    """Delete all but the newest committed checkpoints, those of `also_keep`, and what was set aside as corrupt.

    Nothing goes before the newest one was read back, all hashes checked; what cannot be deleted is told to `say`.
    """
    committed = committed_iterations(folder)
    keep = {*committed[-newest:], *also_keep}
    try:
        for iteration in committed[-1:]:
            _proved(folder, iteration)
    except Refusal as refusal:
        say(f"warning {_RETENTION}: no checkpoint is deleted, for the newest is not good: {refusal.faults[0].problem}")
        return
    for path in folder.glob("step-*"):
        number = path.name.removeprefix("step-")
        if number.isdigit() and int(number) not in keep:
            try:
                (path / _COMMIT).unlink(missing_ok=True)  # first, so that a half-deleted one does not count
                shutil.rmtree(path)
            except OSError as error:
                say(f"warning {_RETENTION}: {printable(path)} cannot be deleted: {error.strerror}")


def committed_iterations(folder: Path) -> list[int]:
    """Iterations whose checkpoint has a COMMIT, ascending: in the order of steps, whatever the clocks say (TR-17)."""
    numbers = (path.parent.name.removeprefix("step-") for path in folder.glob(f"step-*/{_COMMIT}"))
    return sorted(int(number) for number in numbers if number.isdigit())


def disk_full(error: Refusal, folder: Path, iteration: int, say: Callable[[str], None]) -> Refusal:
    """TR-05 of a checkpoint that the disk did not take, once the one before it is proved."""
    good = newest_good_checkpoint(folder, say)
    kept = f"the checkpoint of iteration {good.iteration} is intact" if good else "no checkpoint was written yet"
    problem = f"the checkpoint of iteration {iteration} {error.faults[0].problem}; {kept}"
    return Refusal.of("TR-05", error.faults[0].file, problem, "free space, then run the same command again to go on")


def _set_aside(torn: Path) -> str:
    """Rename a bad checkpoint, so that nothing takes it for one; says what was done."""
    aside = _free_name(torn)
    try:
        torn.rename(aside)
    except OSError as error:
        return f"{printable(torn)} is passed over, and cannot be renamed ({error.strerror})"
    return f"{printable(torn)} is set aside as {aside.name}"


def _free_name(torn: Path) -> Path:
    names = (torn.with_name(f"{torn.name}{_CORRUPT}{suffix}") for suffix in ("", *(f"-{n}" for n in range(2, 10_000))))
    return next(name for name in names if not name.exists())


def _torn(path: Path, problem: str) -> Fault:
    return Fault("TR-03", path, problem, "restore the run folder from a copy, or remove it to start this training anew")


# When a checkpoint is due.


class CheckpointTimes:
    """Every so many iterations, or so many minutes after the last one, whichever comes first.

    Minutes are those of a clock that never steps back (TR-17). They differ from run to run, and so does what a kill
    costs; the result does not: a checkpoint changes nothing in the run that writes it.
    """

    def __init__(self, *, every: int, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`every` iterations; `minutes` 0 leaves it at that."""
        self._every, self._seconds, self._clock = every, minutes * 60, clock
        self._last = clock()

    def due(self, iteration: int) -> bool:
        """Whether this worker would write one after this iteration; if any would, all do."""
        return iteration % self._every == 0 or 0 < self._seconds <= self._clock() - self._last

    def written(self) -> None:
        """A checkpoint was written just now."""
        self._last = self._clock()
