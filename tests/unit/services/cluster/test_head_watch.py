"""A lone worker that waits for ever is ended; one that computes, however long its step, is not."""

import signal
import subprocess
import sys

import pytest

CODE = """
import sys, threading, time
from femseg.services.cluster.head_watch import Watchdog
watchdog = Watchdog(lambda idle_s: print(f'idle for {idle_s:.1f} s', flush=True), bound_s=1.0)
for _ in range(3):
    watchdog.step()
    time.sleep(0.2)
what, limit = sys.argv[1], time.monotonic() + 2.5
if what == 'sleep':
    time.sleep(60)
if what == 'lock':
    threading.Event().wait()
if what == 'close':
    watchdog.close()
    time.sleep(2)
while what == 'compute' and time.monotonic() < limit:
    pass
"""


@pytest.mark.parametrize(
    ("what", "ends"),
    [
        pytest.param("sleep", -signal.SIGKILL, id="TR_07 sleeps"),
        pytest.param("lock", -signal.SIGKILL, id="TR_07 waits for a lock"),
        pytest.param("compute", 0, id="computes"),
        pytest.param("close", 0, id="has made all its steps"),
    ],
)
def test_a_training_thread_that_waits_for_ever_ends_its_process_and_one_that_computes_does_not(what, ends):
    done = subprocess.run([sys.executable, "-c", CODE, what], capture_output=True, text=True)
    assert done.returncode == ends, done.stderr
    assert done.stdout.startswith("idle for") is (ends != 0)
