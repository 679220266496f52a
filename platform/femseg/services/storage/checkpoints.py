"""A run's checkpoints in the storage, so that it goes on on any node: `runs/<run>/step-000123/{state.pt, COMMIT}`.

As on a disk, COMMIT is written last and taken away first: a torn upload never counts. The run is what the storage
holds; what a node has is a copy.
"""

import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from femseg.errors import Refusal, words_of
from femseg.files.durable import write_bytes_durably
from femseg.services.storage.backend import Storage, no_answer
from femseg.training.checkpoint import checkpoint_folder, discard_old_checkpoints, read_checkpoint

_STATE, _COMMIT, _ASIDE = "state.pt", "COMMIT", "COMMIT.corrupt"  # in the order in which they are written
_PAUSES_S = (1.0, 2.0, 5.0, 10.0)  # between attempts; the last one again and again
_MARK = re.compile(r"(?:^|/)step-(\d+)/" + re.escape(_COMMIT))


def _iterations(names: Iterable[str]) -> list[int]:
    return sorted(int(found[1]) for name in names if (found := _MARK.search(name)) and found.end() == len(name))


class StoredRun:
    """One run's place in the storage."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._name = storage, f"runs/{name}"
        self.url = f"{storage.url}/{self._name}"

    def iterations(self) -> list[int]:
        """Of the checkpoints that count, ascending. Raises: OSError."""
        return _iterations(self._storage.sizes(self._name))

    def upload(self, folder: Path, iteration: int) -> None:
        """Put one checkpoint of a run folder there. Raises: OSError."""
        lies = checkpoint_folder(folder, iteration)
        state, commit = (lies / _STATE).read_bytes(), (lies / _COMMIT).read_bytes()
        self._storage.remove(self._path(iteration, _COMMIT))
        self._storage.write(self._path(iteration, _STATE), state)
        self._storage.write(self._path(iteration, _COMMIT), commit)

    def discard_old(self, *, newest: int, iteration: int, also_keep: Iterable[int] = ()) -> None:
        """Keep the newest ones up to `iteration` and those of `also_keep`; later ones were set aside by a resume.

        To be called after `iteration` was uploaded. Raises: OSError.
        """
        found = self.iterations()
        keep = {*[n for n in found if n <= iteration][-newest:], *also_keep, iteration}
        for old in (n for n in found if n not in keep):
            self._storage.remove(self._path(old, _COMMIT))
            self._storage.remove(self._path(old, _STATE))

    def reconcile(self, folder: Path, say: Callable[[str], None]) -> None:
        """Bring the run's newest good checkpoint to where it is missing: into this node's run folder, or there.

        One that is torn or altered in the storage is named to `say` and set aside there (`COMMIT.corrupt`).

        Raises: Refusal TR-03 (exit 4) if the storage holds some and none is good, here neither; ST-09 (6) if it does
            not answer.
        """
        folder.mkdir(parents=True, exist_ok=True)
        try:
            there = self.iterations()
            here = _iterations(path.as_posix() for path in folder.glob(f"step-*/{_COMMIT}"))
            for iteration in sorted({*there, *here}, reverse=True):
                if iteration in here and _is_good(folder, iteration):
                    if iteration not in there:  # its upload was cut off
                        self.upload(folder, iteration)
                    return
                if iteration in there and self._fetch(folder, iteration, say):
                    return
            self._refuse_if_all_torn()
        except OSError as error:
            raise no_answer(self._storage, error) from error

    def _fetch(self, folder: Path, iteration: int, say: Callable[[str], None]) -> bool:
        """Whether the storage's copy was good; it is proven before it takes its place."""
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=folder) as proving:
            at = checkpoint_folder(Path(proving), iteration)
            at.mkdir()
            for part in (_STATE, _COMMIT):
                with suppress(FileNotFoundError):  # what lacks a part is not good
                    (at / part).write_bytes(self._storage.read(self._path(iteration, part)))
            try:
                read_checkpoint(Path(proving), iteration)
            except Refusal as refusal:
                self._set_aside(iteration)
                torn = f"{self._storage.url}/{self._path(iteration, '')}"
                problem = refusal.faults[0].problem
                say(f"warning TR-03: {torn} is set aside as {_ASIDE}: {problem}")
                return False
            target = checkpoint_folder(folder, iteration)
            for part in (_STATE, _COMMIT):
                write_bytes_durably(target / part, (at / part).read_bytes())
        discard_old_checkpoints(folder, newest=1, say=say)  # of an earlier visit of the run to this node
        return True

    def share_names(self, folder: Path, prefix: str) -> None:
        """Empty files that are known by their names: those in the storage here, those here there. Raises: OSError."""
        start = f"{self._name}/{prefix}"
        for name in [name for name in self._storage.sizes(self._name) if name.startswith(start)]:
            write_bytes_durably(folder / name.rpartition("/")[2], b"")
        for file in folder.glob(f"{prefix}*"):
            self._storage.write(f"{self._name}/{file.name}", b"")

    def _set_aside(self, iteration: int) -> None:
        with suppress(FileNotFoundError):
            content = self._storage.read(self._path(iteration, _COMMIT))
            self._storage.write(self._path(iteration, _ASIDE), content)
        self._storage.remove(self._path(iteration, _COMMIT))

    def _refuse_if_all_torn(self) -> None:
        torn = [name for name in self._storage.sizes(self._name) if name.endswith(_ASIDE)]
        if torn:
            problem = f"none of the {len(torn)} checkpoints of this run is good"
            fix = f"remove {self.url} to start this training anew"
            raise Refusal.of("TR-03", f"{self._storage.url}/{torn[-1]}", problem, fix)

    def _path(self, iteration: int, part: str) -> str:
        return f"{self._name}/{checkpoint_folder(Path(), iteration).as_posix()}/{part}"


def _is_good(folder: Path, iteration: int) -> bool:
    try:
        read_checkpoint(folder, iteration)
    except Refusal:
        return False
    return True


class CheckpointMirror:
    """Uploads a run folder's checkpoints beside the training, which never waits for it; the newest comes first.

    What the storage does not take is tried again for as long as the mirror is open; the training goes on meanwhile.
    """

    def __init__(self, run: StoredRun, folder: Path, *, keep: int, say: Callable[[str], None]) -> None:
        """`keep`: newest checkpoints that the storage keeps besides the best."""
        self._run, self._folder, self._keep, self._say = run, folder, keep, say
        self._changed = threading.Condition()
        self._wanted: tuple[int, int] | None = None  # iteration, best iteration
        self._closing = False
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._work, name="checkpoint-mirror", daemon=True)
        self._thread.start()

    def committed(self, iteration: int, best_iteration: int) -> None:
        """A checkpoint was committed in the run folder."""
        with self._changed:
            self._wanted = (iteration, best_iteration)
            self._changed.notify_all()

    def close(self, within_s: float) -> OSError | None:
        """Wait for the newest checkpoint to be there, so long at the most; returns what kept it from that."""
        limit = time.monotonic() + within_s
        with self._changed:
            while self._wanted and time.monotonic() < limit:
                self._changed.wait(max(0.0, limit - time.monotonic()))
            self._closing = True
            self._changed.notify_all()
            return (self._failure or TimeoutError(f"no answer within {within_s:.0f} s")) if self._wanted else None

    def _work(self) -> None:
        attempts = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closing)
                if self._closing or self._wanted is None:
                    return
                wanted = self._wanted
            failure = self._attempt(*wanted)
            with self._changed:
                self._failure = failure
                if isinstance(failure, FileNotFoundError) and self._wanted != wanted:
                    continue  # the run folder keeps it no longer, there is a newer one
                if failure is None:
                    attempts = 0
                    if self._wanted == wanted:
                        self._wanted = None
                else:
                    if not attempts:
                        late = f"checkpoint {wanted[0]} is not in {self._run.url} yet"
                        self._say(f"warning ST-09: {late}: {words_of(failure)}")
                    pause_s = _PAUSES_S[min(attempts, len(_PAUSES_S) - 1)]
                    attempts += 1
                    self._changed.wait_for(lambda: self._closing, pause_s)
                self._changed.notify_all()

    def _attempt(self, iteration: int, best_iteration: int) -> OSError | None:
        try:
            self._run.upload(self._folder, iteration)
            self._run.discard_old(newest=self._keep, iteration=iteration, also_keep={best_iteration})
        except OSError as error:
            return error
        return None
