"""A head is a port that takes connections; here it stops doing so while a driver of its own process waits."""

import os
import subprocess
import sys

import pytest

DRIVER = """
import signal, socket, sys, time
from femseg.exits import command_exit
from femseg.services.cluster import head_watch

head_watch._SECONDS_BETWEEN_LOOKS, head_watch._SILENT_S, head_watch._UNWOUND_WITHIN_S = 0.1, 0.5, 1.0
head = socket.create_server(("127.0.0.1", 0))
address = f"127.0.0.1:{head.getsockname()[1]}"
if sys.argv[1] == "deaf":  # as a main thread is that waits in Ray
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
with command_exit(), head_watch.head_watched(address) as is_lost:
    time.sleep(1)
    assert not is_lost()
    if sys.argv[1] != "well":
        head.close()
        time.sleep(60)
print("done")
"""


@pytest.mark.parametrize("main_thread", ["awake", "deaf"])
def test_a_driver_without_head_ends_with_one_line_and_exit_code_6_CL_06(main_thread):
    done = ended(main_thread)
    assert done.returncode == 6
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error CL-06: RAY_ADDRESS: the head of the cluster at 127.0.0.1:")


def test_a_driver_whose_head_answers_is_left_alone_CL_06():
    done = ended("well")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def ended(main_thread: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRIVER, main_thread]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True)
