"""MLflow runs that say what they ran on, are taken up again after a kill, and end with a true status."""

import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient

from femseg.errors import Refusal, printable, without_credentials
from femseg.exits import on_signal
from femseg.faults import ExitCode
from femseg.files.durable import read_json, sha256_of_json, write_bytes_durably, write_json_durably
from femseg.lineage.provenance import git_state
from femseg.services.tracking.heartbeat import END_REASON, ENDED, heartbeat, life_tags, reopen
from femseg.services.tracking.store import no_answer

# Which MLflow run belongs to a run folder: a note in the folder, and a key that folder and run both carry.


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


_DIGEST_LENGTH = 36  # MLflow takes no longer one


def flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested settings as MLflow parameters: `{"train": {"seed": 1}}` becomes `{"train.seed": "1"}`."""
    pairs: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        pairs |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: str(value)}
    return pairs


def stage_tags(stage: str, **more: str) -> dict[str, str]:
    """Tags of a run of a pipeline stage: which one, of which code, of which DVC experiment."""
    state = git_state(Path())
    found = {
        "stage": stage,
        "mlflow.source.name": f"python -m pipelines.{stage}",
        "mlflow.source.git.commit": state.commit,
        "git_modified": None if state.modified is None else str(state.modified).lower(),
        "dvc_experiment": os.environ.get("DVC_EXP_NAME"),
        **more,
    }
    return {name: value for name, value in found.items() if value}


def start_run(
    client: MlflowClient,
    experiment_id: str,
    *,
    name: str,
    params: Mapping[str, object],
    tags: Mapping[str, str] | None = None,
    parent_run_id: str | None = None,
) -> str:
    """Create a run with its parameters; returns its id. It counts as alive while this process is (TK-06)."""
    above = {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
    run = client.create_run(experiment_id, run_name=name, tags={**(tags or {}), **above, **life_tags(client)})
    client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in flat(params).items()])
    return str(run.info.run_id)


def end_run(client: MlflowClient, run_id: str, status: str, *, reason: str = "") -> None:
    """Close a run as FINISHED, FAILED or KILLED, for a reason if there is one."""
    reopen(client, run_id)  # it may have been closed meanwhile, as one that had died (TK-06)
    if reason:
        client.set_tag(run_id, END_REASON, reason[:500])
    client.set_tag(run_id, ENDED, status)
    client.set_terminated(run_id, status=RunStatus.to_string(RunStatus.from_string(status)))


def _stop() -> NoReturn:
    """SIGTERM becomes a refusal (TR-06, exit 75), unless a training or a search takes it: to end a run truly."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough, and the store must hear of the end
    problem, fix = "was asked to stop; what was written is whole", "run the same command again to go on"
    raise Refusal.of("TR-06", "run", problem, fix)


@contextmanager
def run_with_true_status(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Close the run by how its block ended: FINISHED, KILLED (stopped by a signal, resumable) or FAILED.

    While the block runs, the run gives signs of life.
    Raises: Refusal TK-01 (exit 6) if the store went away meanwhile; the same command sends the rest once it is back.
    """
    with on_signal(_stop, signal.SIGTERM):
        try:
            with heartbeat(client, run_id):
                yield
            end_run(client, run_id, "FINISHED")
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | SystemExit) or (
                isinstance(error, Refusal) and error.exit_code == ExitCode.RESUMABLE
            )
            reason = without_credentials(f"{type(error).__name__}: {error}")
            with suppress(MlflowException):
                end_run(client, run_id, "KILLED" if stopped else "FAILED", reason=reason)
            if isinstance(error, MlflowException):
                raise no_answer(client.tracking_uri, error) from error
            raise


def resumable_run(
    client: MlflowClient,
    experiment_id: str,
    *,
    folder: Path,
    name: str,
    params: Mapping[str, object],
    tags: Mapping[str, str] | None = None,
    parent_run_id: str | None = None,
    say: Callable[[str], None] = print,
) -> str:
    """The run that a run folder remembers, or a new one that it remembers from now on.

    A run that a kill left open, or that ended early, is taken up again; a finished one is left as it is. A store that
    has no run of this folder gets one; the folder remembers the runs in other stores too, and finds them again if what
    it remembers is torn, altered or lost (TR-04).
    Raises: Refusal TK-01 (exit 6) if the store has gone away.
    """
    memory = RunMemory.of(folder, say)
    try:
        known = next((run_id for run_id in memory.run_ids if _exists(client, run_id)), None)
        there = known or memory.found_by_key(client, experiment_id)
        if there is not None:
            _take_up(client, there)
        run_id = there or start_run(
            client,
            experiment_id,
            name=name,
            params=params,
            tags={**(tags or {}), **memory.tag},
            parent_run_id=parent_run_id,
        )
    except MlflowException as error:
        raise no_answer(client.tracking_uri, error) from error
    if known is None or memory.torn:
        memory.write(run_id, experiment_id)
    return run_id


def _take_up(client: MlflowClient, run_id: str) -> None:
    """Go on with a run that ended early; a finished one is left as it is."""
    if client.get_run(run_id).info.status != "FINISHED":
        for name, value in life_tags(client).items():
            client.set_tag(run_id, name, value)  # first, or another process takes the open run for a dead one
        reopen(client, run_id)


def _exists(client: MlflowClient, run_id: str) -> bool:
    """Raises: MlflowException if the store cannot say: a second run must not come of a store that is ill."""
    try:
        return str(client.get_run(run_id).info.lifecycle_stage) == "active"
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return False
        raise


def log_dataset(
    client: MlflowClient, run_id: str, *, name: str, source: str, digest: str, context: str, dvc_md5: str = ""
) -> None:
    """Name an input of a run with its hashes, without loading it.

    Args:
        digest: our own hash of it.
        dvc_md5: what dvc.lock says of it ("….dir" for a folder), if it says something. It is then the dataset's digest,
            so that a run is found by what `dvc` prints (`dataset.digest = '…'`), and our hash is a tag of the input.
    """
    entity = Dataset(
        name=name,
        digest=(dvc_md5 or digest)[:_DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": source}),
        schema=None,
        profile=None,
    )
    said = {"mlflow.data.context": context, "sha256": digest, "dvc_md5": dvc_md5}
    tags = [InputTag(key=key, value=value) for key, value in said.items() if value]
    client.log_inputs(run_id, datasets=[DatasetInput(dataset=entity, tags=tags)])


def find_run(client: MlflowClient, experiment_id: str, *, tag: str, value: str) -> str | None:
    """The newest finished run that carries a tag, or None."""
    runs = client.search_runs([experiment_id], f"tags.{tag} = '{value}' and attributes.status = 'FINISHED'")
    return str(runs[0].info.run_id) if runs else None
