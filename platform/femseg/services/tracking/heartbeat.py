"""A run that is RUNNING in the store is alive: it says so every minute, and silent ones are closed."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.files.lock import lives, process_named, this_process
from femseg.services.tracking.store import store_time_s

HEARTBEAT, OWNER, ENDED = "femseg.heartbeat", "femseg.owner", "femseg.ended"
END_REASON, _EARLIER = "end_reason", "earlier_end_reason"
BEAT_S, SILENT_S = 60.0, 600.0
_RUNS_AT_ONCE = 1000


def life_tags(client: MlflowClient) -> dict[str, str]:
    """Tags that a run carries from its first moment: its last sign of life, and the process that gives it."""
    return {HEARTBEAT: str(int(store_time_s(client.tracking_uri))), OWNER: this_process()}


@contextmanager
def heartbeat(client: MlflowClient, run_id: str, *, every_s: float = BEAT_S) -> Iterator[None]:
    """Give signs of life while the block runs, from a thread. A run that was closed by mistake is opened again.

    A store that is away is asked again at the next beat.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            with suppress(Exception):  # whatever a client makes of a sick store
                client.set_tag(run_id, HEARTBEAT, str(int(store_time_s(client.tracking_uri))))
                if client.get_run(run_id).info.status != "RUNNING" and not ended.is_set():
                    reopen(client, run_id)
                    _reopen_nested(client, run_id)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()  # its requests are bounded; one of them must not reopen the run behind its end


def reopen(client: MlflowClient, run_id: str) -> None:
    """A run that was closed goes on; why it was closed stays with it, under another name."""
    run = client.get_run(run_id)
    if END_REASON in run.data.tags:
        client.set_tag(run_id, _EARLIER, run.data.tags[END_REASON])
    for name in {ENDED, END_REASON} & run.data.tags.keys():
        with suppress(MlflowException):  # gone already, by a heartbeat
            client.delete_tag(run_id, name)
    if run.info.status != "RUNNING":
        client.update_run(run_id, status="RUNNING")


def _reopen_nested(client: MlflowClient, run_id: str) -> None:
    """Runs that were closed for dead because the one above them was; one that has ended says so itself."""
    run = client.get_run(run_id)
    below = f"tags.`mlflow.parentRunId` = '{run_id}' and attributes.status = 'KILLED'"
    for nested in client.search_runs([run.info.experiment_id], below, max_results=_RUNS_AT_ONCE):
        if ENDED not in nested.data.tags:
            reopen(client, nested.info.run_id)


def close_dead_runs(client: MlflowClient, experiment_id: str) -> list[str]:
    """Close what died without a word (TK-06): runs whose process is gone, or silent for ten minutes elsewhere.

    A run that was made by another tool, and carries no heartbeat, is left alone; so is one that we may not change.
    Returns: ids of the runs that were closed.
    """
    runs = client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=_RUNS_AT_ONCE)
    running = {run.info.run_id: run for run in runs if HEARTBEAT in run.data.tags}
    now_s = store_time_s(client.tracking_uri) if running else 0.0
    closed = []
    for run_id, run in running.items():
        reason = _cause_of_death(run, running, now_s)
        if reason:
            with suppress(MlflowException):
                _close(client, run, reason)
                closed.append(str(run_id))
    return closed


def _close(client: MlflowClient, run: Run, reason: str) -> None:
    """As it had ended before, if another tool reopened it; otherwise as KILLED, at its last sign of life."""
    tags, run_id = run.data.tags, run.info.run_id
    if ENDED in tags:
        client.set_terminated(run_id, status=tags[ENDED])
        return
    client.set_tag(run_id, END_REASON, reason)
    client.set_terminated(run_id, status="KILLED", end_time=int(float(tags[HEARTBEAT]) * 1000))


def _cause_of_death(run: Run, running: Mapping[str, Run], now_s: float) -> str:
    """Why a run is held for dead; "" while it may be alive. A nested run lives as long as the run above it."""
    tags = run.data.tags
    owner = tags.get(OWNER, "")
    alive = lives(owner)
    if alive is not None:
        return "" if alive else f"{process_named(owner)} ended without a word"
    above = running.get(tags.get("mlflow.parentRunId", ""))
    if above is not None and not _cause_of_death(above, running, now_s):
        return ""
    silent_s = now_s - float(tags[HEARTBEAT])
    if silent_s < SILENT_S:
        return ""
    said = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(float(tags[HEARTBEAT])))
    return f"no sign of life since {said} from {process_named(owner)}"
