"""Which MLflow run belongs to a run folder: a note in the folder, and a key that folder and run both carry."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlflow.tracking import MlflowClient

from femseg.durable import read_json, sha256_of_json, write_bytes_durably, write_json_durably
from femseg.errors import Refusal, printable

MEMORY = "mlflow_run.json"
_KEY, _KEY_TAG = ".run-", "femseg.run_key"
_TORN = "TR-04"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMemory:
    """What a run folder remembers.

    The note is a copy: a run carries the folder's key from its first moment, so that it is found again whose note is
    torn, altered or lost, or was never written because of a kill. The key is the name of an empty file, which no cut
    can tear; it goes where the folder goes, and with it.

    Attributes:
        run_ids: of the folder's runs in whatever store, the newest first.
        torn: the note is there, but cut short or altered, and nothing of it is believed.
        key: drawn by whoever is here first.
        key_is_new: no run can carry it yet.
    """

    folder: Path
    say: Callable[[str], None]
    run_ids: tuple[str, ...]
    torn: bool
    key: str
    key_is_new: bool

    @classmethod
    def of(cls, folder: Path, say: Callable[[str], None]) -> Self:
        """Read the note, if it is there and whole, and the key. Raises: Refusal (exit 5) if the disk takes no key."""
        run_ids = _noted(folder / MEMORY) if (folder / MEMORY).exists() else ()
        known = sorted(
            key for key in (path.name.removeprefix(_KEY) for path in folder.glob(f"{_KEY}*")) if key.isalnum()
        )
        key = known[0] if known else uuid.uuid4().hex
        if not known:
            write_bytes_durably(folder / f"{_KEY}{key}", b"")
        return cls(folder=folder, say=say, run_ids=run_ids or (), torn=run_ids is None, key=key, key_is_new=not known)

    @property
    def tag(self) -> dict[str, str]:
        """What every run of this folder is to carry."""
        return {_KEY_TAG: self.key}

    def found_by_key(self, client: MlflowClient, experiment_id: str) -> str | None:
        """The newest run in the store that carries the folder's key. Raises: MlflowException if none answers."""
        carries_it = f"tags.`{_KEY_TAG}` = '{self.key}'"
        newest_first = ["attributes.start_time DESC"]
        runs = [] if self.key_is_new else client.search_runs([experiment_id], carries_it, order_by=newest_first)
        found = str(runs[0].info.run_id) if runs else None
        if self.torn:
            how = f"the store has run {found} of this folder" if found else "the store has no run of this folder"
            self.say(f"warning {_TORN}: {printable(self.folder / MEMORY)}: is torn or altered; written anew, {how}")
        return found

    def write(self, run_id: str, experiment_id: str) -> None:
        """Remember a run, and those before it."""
        earlier = [known for known in self.run_ids if known != run_id]
        content = {"experiment_id": experiment_id, "run_id": run_id, "earlier": earlier}
        write_json_durably(self.folder / MEMORY, {**content, "sha256": sha256_of_json(content)})


def _noted(note: Path) -> tuple[str, ...] | None:
    """The run ids of a note; None if its hash does not hold."""
    try:
        content = dict(read_json(note))
        intact = content.pop("sha256") == sha256_of_json(content)
        return (str(content["run_id"]), *content["earlier"]) if intact else None
    except (Refusal, KeyError, TypeError, ValueError):
        return None
