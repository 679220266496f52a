"""A claim says whose it is, is taken over from the dead, and waits for the dying."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.lock import claimed_by

HOLD = """
import pathlib, sys
from femseg.files.lock import claimed_by
with claimed_by(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path / "run" / ".claim")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_st_08_the_claim_of_a_dead_holder_is_taken_over_and_said_so(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    said = []
    with claimed_by(tmp_path / "run" / ".claim", say=said.append):
        pass
    (line,) = said
    assert f"taken over from process {holder.pid} on " in line
    with claimed_by(tmp_path / "run" / ".claim", say=pytest.fail):
        pass  # the one before let go as it should


def test_st_08_a_holder_that_is_about_to_end_is_waited_for(tmp_path, holder):
    with pytest.raises(Refusal, match=f"in use by process {holder.pid} on "), claimed_by(tmp_path / "run" / ".claim"):
        pass
    holder.stdin.close()  # it ends on its own
    with claimed_by(tmp_path / "run" / ".claim", wait_s=60, say=pytest.fail):
        assert f"process {os.getpid()} on " in (tmp_path / "run" / ".claim").read_text()


def test_a_place_that_takes_no_file_is_refused_and_not_a_traceback():
    with pytest.raises(Refusal) as refused, claimed_by(Path("/sys/kernel/.claim")):
        pass
    assert refused.value.exit_code == ExitCode.RESOURCE
