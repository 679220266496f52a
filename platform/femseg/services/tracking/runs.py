"""MLflow runs that say what they ran on, are taken up again after a kill, and end with a true status."""

import json
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Refusal, without_credentials
from femseg.exits import on_signal
from femseg.faults import ExitCode
from femseg.files.durable import write_bytes_durably
from femseg.lineage.provenance import git_state
from femseg.services.tracking.heartbeat import END_REASON, ENDED, heartbeat, life_tags, reopen
from femseg.services.tracking.store import no_answer

KEY_FILE, KEY_TAG = "mlflow-run-", "femseg.run_key"


def run_keys(folder: Path) -> list[str]:
    """The keys by which a run folder and its MLflow runs, in whatever store, find each other; one, as a rule.

    A run carries one from its first moment. It is the name of an empty file, which no cut can tear and no kill leave
    half-written; it goes where the folder goes. Raises: Refusal (exit 5) if the disk does not take it.
    """
    names = sorted(path.name.removeprefix(KEY_FILE) for path in folder.glob(f"{KEY_FILE}*"))
    keys = [name for name in names if name.isalnum()]
    if not keys:
        keys = [uuid.uuid4().hex]
        write_bytes_durably(folder / f"{KEY_FILE}{keys[0]}", b"")
    return keys


def run_with_key(client: MlflowClient, experiment_id: str, key: str) -> str | None:
    """The newest run in the store that carries a key, or None. Raises: MlflowException if the store does not answer."""
    newest_first = ["attributes.start_time DESC"]
    runs = client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'", order_by=newest_first, max_results=1)
    return str(runs[0].info.run_id) if runs else None


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
) -> str:
    """The run of a run folder, found by the folder's key, or a new one with that key.

    A run that a kill left open, or that ended early, is taken up again; a finished one is left as it is. A store that
    has no run of this folder gets one.
    Raises: Refusal TK-01 (exit 6) if the store has gone away.
    """
    keys = run_keys(folder)
    try:
        found = (run_with_key(client, experiment_id, key) for key in keys)
        if run_id := next(filter(None, found), None):
            _take_up(client, run_id)
            return run_id
        tags = {**(tags or {}), KEY_TAG: keys[0]}
        return start_run(client, experiment_id, name=name, params=params, tags=tags, parent_run_id=parent_run_id)
    except MlflowException as error:
        raise no_answer(client.tracking_uri, error) from error


def _take_up(client: MlflowClient, run_id: str) -> None:
    """Go on with a run that ended early; a finished one is left as it is."""
    if client.get_run(run_id).info.status != "FINISHED":
        for name, value in life_tags(client).items():
            client.set_tag(run_id, name, value)  # first, or another process takes the open run for a dead one
        reopen(client, run_id)


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
