"""One process at a time works in a run folder."""

import os
import subprocess
import sys

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.lock import claimed

HOLD = """
import pathlib, sys
from femseg.files.lock import claimed
with claimed(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_refused_with_the_name_of_the_first_ST_08(tmp_path):
    with claimed(tmp_path / "run"):
        with pytest.raises(Refusal) as refused, claimed(tmp_path / "run"):
            pass
        assert refused.value.exit_code == ExitCode.USAGE
        assert f"process {os.getpid()} on " in str(refused.value)
    with claimed(tmp_path / "run"):
        pass


def test_the_claim_of_a_killed_process_is_gone_ST_08(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Refusal, match=f"process {holder.pid} on "), claimed(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with claimed(tmp_path):
            pass
