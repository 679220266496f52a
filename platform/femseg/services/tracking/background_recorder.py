"""Curves into MLflow from a training worker, which never waits for the store."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from femseg.services.tracking.metric_spool import SPOOL, PointSpool

_EVERY_S, _PAUSE_AT_MOST_S, _CLOSING_S = 2.0, 30.0, 5.0


class BackgroundRecorder:
    """A `Recorder` whose `metric` writes to the run folder's spool and returns; a thread sends what is there (TK-02).

    While the store is away, frozen or locked, the thread asks again after growing pauses and the points wait in the
    spool. What still waits at the end, or when the worker is killed, is sent by whoever opens the spool next:
    the run that goes on, or `recorded_curve.record_curve`.

    Args:
        uri, run_id: the store and the run in it; neither is asked for anything here.
        folder: the run folder.
        say: takes a line when the store goes away and when it is back.
        every_s: how long points wait in good times.
    """

    def __init__(
        self, uri: str, run_id: str, folder: Path, *, say: Callable[[str], None], every_s: float = _EVERY_S
    ) -> None:
        self._uri, self._run_id, self._say, self._every_s = uri, run_id, say, every_s
        self._spool = PointSpool(folder / SPOOL)
        self._closing = threading.Event()
        self._failures = 0
        for noisy in ("mlflow.store.db.utils", "urllib3.connectionpool"):  # a traceback or a line for every attempt
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        self._thread = threading.Thread(target=self._send_until_closed, name="tracking", daemon=True)
        self._thread.start()

    def metric(self, name: str, value: float, *, step: int) -> None:
        """Take one point."""
        self._spool.add(name, value, step=step)

    def close(self, within_s: float = _CLOSING_S) -> None:
        """Try once more to send, for so long at most; what remains stays in the spool."""
        self._closing.set()
        self._thread.join(within_s)
        if len(self._spool):
            self._say(f"{len(self._spool)} points wait in {SPOOL} of the run folder for the tracking store")
        self._spool.close()

    def _send_until_closed(self) -> None:
        from femseg.services.tracking.recorder import MlflowRecorder
        from femseg.services.tracking.store import client_of

        recorder, pause = None, self._every_s
        last = False
        while not last:
            last = self._closing.wait(pause)
            try:
                recorder = recorder or MlflowRecorder(client_of(self._uri), self._run_id, self._spool)
                recorder.flush()
            except (
                Exception
            ) as error:  # whatever a client makes of a sick store: the points are safe, the thread goes on
                pause = min(2 * pause, _PAUSE_AT_MOST_S)
                if not self._failures:
                    self._say(f"the tracking store does not answer ({type(error).__name__}); points wait in {SPOOL}")
                self._failures += 1
            else:
                if self._failures:
                    self._say(f"the tracking store answers again, after {self._failures} failed attempts")
                self._failures, pause = 0, self._every_s
