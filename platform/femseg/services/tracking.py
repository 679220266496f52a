"""The MLflow store: where it is, that its schema exists, and runs that end with a true status."""

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from femseg.durable import read_json, write_json_durably
from femseg.errors import ExitCode, Fault, Refusal
from femseg.promotion.lineage import git_state

EXPERIMENT = "femseg"
_SQLITE = "sqlite:///"
_ANSWER_WITHIN_S = 5.0
_POINTS_A_REQUEST = 1000  # MLflow takes no more


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the local store under `mlruns/`; SQLite paths are made absolute, once.

    Raises: Refusal TK-09 (exit 2) for the plain-file store, which MLflow 3.17 no longer takes.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"{_SQLITE}mlruns/mlflow.db")
    if uri.startswith(_SQLITE):
        return _SQLITE + str(Path(uri.removeprefix(_SQLITE)).absolute())
    if urlsplit(uri).scheme in ("", "file"):
        fault = Fault(
            id="TK-09",
            file="MLFLOW_TRACKING_URI",
            problem=f"'{uri}' is a plain-file store, which MLflow refuses",
            fix="use sqlite:///mlruns/mlflow.db or the address of a server",
            exit_code=ExitCode.USAGE,
        )
        raise Refusal(fault)
    return uri


def _with_schema(uri: str) -> MlflowClient:
    """A client whose store is ready: a fresh SQLite schema is made by one process, the others wait for it."""
    if urlsplit(uri).scheme in ("http", "https"):
        _require_answer(uri)
    if not uri.startswith(_SQLITE):
        return MlflowClient(uri)
    database = Path(uri.removeprefix(_SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with (database.parent / f".{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)  # the first query makes the schema
        return client


def _require_answer(uri: str) -> None:
    """Ask a server once whether it is there: MLflow's own client asks for minutes. Raises: OSError."""
    try:
        with urlopen(f"{redacted(uri).rstrip('/')}/health", timeout=_ANSWER_WITHIN_S):
            pass
    except HTTPError:
        pass  # an answer, if not the expected one


def connect(uri: str | None = None) -> tuple[MlflowClient, str]:
    """A client of the tracking store and the id of femseg's experiment, made if need be.

    Raises: Refusal TK-01 (exit 6) if the store does not answer.
    """
    uri = uri or tracking_uri()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        client = _with_schema(uri)
        return client, _experiment_id(client, uri)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise _no_answer(uri, error) from error


def _no_answer(uri: str, error: Exception) -> Refusal:
    return Refusal(
        Fault(
            id="TK-01",
            file=redacted(uri),
            problem=f"the tracking store does not answer ({type(error).__name__})",
            fix="start the MLflow server, or unset MLFLOW_TRACKING_URI to use the local store",
            exit_code=ExitCode.SERVICE_DOWN,
        )
    )


def _experiment_id(client: MlflowClient, uri: str) -> str:
    """The id of femseg's experiment, made if need be; of several processes that make it at once all get the same."""
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    location = None
    if uri.startswith(_SQLITE):
        location = (Path(uri.removeprefix(_SQLITE)).parent / "artifacts").as_uri()
    try:
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))
    except MlflowException:
        known = client.get_experiment_by_name(EXPERIMENT)
        if known is None:
            raise
        return str(known.experiment_id)


def redacted(uri: str) -> str:
    """The URI without user name and password."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2]) if "@" in parts.netloc else uri


class MlflowRecorder:
    """A `Recorder` that writes finite metrics to one MLflow run in batches, each step of a curve once.

    A run that is resumed brings its curve along: steps that the store already holds are not sent again. What waited to
    be sent when a run was killed is missing, until `training_job.record_curve` sends the whole curve once more.
    """

    def __init__(
        self, client: MlflowClient, run_id: str, *, batch: int = 50, seconds: float = 2.0, pause_s: float = 60.0
    ) -> None:
        self._client, self.run_id = client, run_id
        self._batch, self._seconds, self._pause_s = batch, seconds, pause_s
        self._waiting: list[Metric] = []
        self._steps: dict[str, set[int]] = {}
        self._sent_at = time.monotonic()
        self._not_before = 0.0

    def metric(self, name: str, value: float, *, step: int) -> None:
        """Record one point; a value that is not finite becomes a tag that says so, never a number."""
        if not math.isfinite(value):
            self._client.set_tag(self.run_id, f"not_finite.{name}", f"{value} at step {step}")
            return
        if step in self._known_steps(name):
            return
        self._steps[name].add(step)
        self._waiting.append(Metric(name, float(value), int(time.time() * 1000), step))
        if len(self._waiting) >= self._batch or time.monotonic() - self._sent_at > self._seconds:
            self.offer()

    def _known_steps(self, name: str) -> set[int]:
        if name not in self._steps:
            self._steps[name] = {point.step for point in self._client.get_metric_history(self.run_id, name)}
        return self._steps[name]

    def offer(self) -> None:
        """Send what waits if the store takes it; otherwise it waits on, and training with it not at all (TK-02)."""
        if time.monotonic() < self._not_before:
            return
        try:
            self.flush()
        except MlflowException:
            self._not_before = time.monotonic() + self._pause_s

    def flush(self) -> None:
        """Send what waits. Raises: MlflowException if the store does not take it."""
        while self._waiting:
            self._client.log_batch(self.run_id, metrics=self._waiting[:_POINTS_A_REQUEST])
            del self._waiting[:_POINTS_A_REQUEST]
        self._sent_at = time.monotonic()


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
        "mlflow.source.git.commit": state["commit"],
        "git_modified": None if state["modified"] is None else str(state["modified"]).lower(),
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
    """Create a run with its parameters; returns its id."""
    all_tags = {**(tags or {}), **({"mlflow.parentRunId": parent_run_id} if parent_run_id else {})}
    run = client.create_run(experiment_id, run_name=name, tags=all_tags)
    client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in flat(params).items()])
    return str(run.info.run_id)


def end_run(client: MlflowClient, run_id: str, status: str) -> None:
    """Close a run as FINISHED, FAILED or KILLED."""
    client.set_terminated(run_id, status=RunStatus.to_string(RunStatus.from_string(status)))


@contextmanager
def run_with_true_status(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Close the run by how its block ended: FINISHED, KILLED (stopped by a signal, resumable) or FAILED.

    Raises: Refusal TK-01 (exit 6) if the store went away meanwhile; the same command sends the rest once it is back.
    """
    try:
        yield
        end_run(client, run_id, "FINISHED")
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | SystemExit) or (
            isinstance(error, Refusal) and error.exit_code == ExitCode.RESUMABLE
        )
        with suppress(MlflowException):
            client.set_tag(run_id, "end_reason", f"{type(error).__name__}: {error}"[:500])
            end_run(client, run_id, "KILLED" if stopped else "FAILED")
        if isinstance(error, MlflowException):
            raise _no_answer(client.tracking_uri, error) from error
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
    """The run whose id a run folder remembers, or a new one that it remembers from now on.

    A run that a kill left open, or that ended early, is taken up again; a finished one is left as it is.
    """
    memory = folder / "mlflow_run.json"
    if memory.exists():
        known = read_json(memory)
        if known.get("experiment_id") == experiment_id and _exists(client, known["run_id"]):
            if client.get_run(known["run_id"]).info.status != "FINISHED":
                client.update_run(known["run_id"], status="RUNNING")
            return str(known["run_id"])
    run_id = start_run(client, experiment_id, name=name, params=params, tags=tags, parent_run_id=parent_run_id)
    write_json_durably(memory, {"experiment_id": experiment_id, "run_id": run_id})
    return run_id


def _exists(client: MlflowClient, run_id: str) -> bool:
    try:
        return str(client.get_run(run_id).info.lifecycle_stage) == "active"
    except MlflowException:
        return False


def log_dataset(client: MlflowClient, run_id: str, *, name: str, source: str, digest: str, context: str) -> None:
    """Name an input of a run with its hash, without loading it; digests are cut to MLflow's 36 characters."""
    entity = Dataset(
        name=name,
        digest=digest[:36],
        source_type="local",
        source=json.dumps({"uri": source}),
        schema=None,
        profile=None,
    )
    tag = InputTag(key="mlflow.data.context", value=context)
    client.log_inputs(run_id, datasets=[DatasetInput(dataset=entity, tags=[tag])])


def find_run(client: MlflowClient, experiment_id: str, *, tag: str, value: str) -> str | None:
    """The newest finished run that carries a tag, or None."""
    runs = client.search_runs([experiment_id], f"tags.{tag} = '{value}' and attributes.status = 'FINISHED'")
    return str(runs[0].info.run_id) if runs else None
