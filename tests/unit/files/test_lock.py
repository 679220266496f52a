"""A lock names its holder, passes on from the dead, waits for the dying, and holds across PID namespaces."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.lock import lives, locked, parts, process_named, this_process

HOLD = """
import pathlib, sys
from femseg.files.lock import locked, this_process
with locked(pathlib.Path(sys.argv[1])):
    print(this_process(), flush=True)
    sys.stdin.readline()
"""
UNSHARE = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]


def started(folder: Path, *before: str) -> tuple[subprocess.Popen, str]:
    """A process that holds a folder, and how it signs."""
    words = [*before, sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


@pytest.fixture
def holder(tmp_path):
    process, signed = started(tmp_path)
    with process:
        assert parts(signed)["pid"] == str(process.pid)
        yield process
        process.kill()


@pytest.fixture(params=[["--mount-proc"], []], ids=["with its own /proc", "with the /proc of the host"])
def elsewhere(request, tmp_path):
    """A holder in a PID namespace of its own, and how it signs."""
    command = [*UNSHARE, *request.param]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no new PID namespace here")
    process, signed = started(tmp_path, *command)
    with process:
        yield process, signed
        process.kill()


def test_st_08_the_second_is_refused_with_the_name_of_the_first(tmp_path):
    with locked(tmp_path / "run"):
        with pytest.raises(Refusal) as refused, locked(tmp_path / "run"):
            pass
        assert refused.value.exit_code == ExitCode.USAGE
        assert f"in use by process {os.getpid()} on " in str(refused.value)
    with locked(tmp_path / "run", say=pytest.fail):
        pass


def test_st_08_the_lock_of_a_dead_holder_is_taken_over_and_said_so(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    said = []
    with locked(tmp_path, say=said.append):
        pass
    (line,) = said
    assert f"taken over from process {holder.pid} on " in line
    with locked(tmp_path, say=pytest.fail):
        pass  # the one before let go as it should


def test_st_08_a_holder_that_is_about_to_end_is_waited_for(tmp_path, holder):
    with pytest.raises(Refusal, match=f"in use by process {holder.pid} on "), locked(tmp_path):
        pass
    holder.stdin.close()  # it ends on its own
    with locked(tmp_path, wait_s=60, say=pytest.fail):
        assert (tmp_path / ".lock").read_text() == this_process()


def test_a_place_that_takes_no_file_is_refused_and_not_a_traceback():
    with pytest.raises(Refusal) as refused, locked(Path("/sys/kernel")):
        pass
    assert refused.value.exit_code == ExitCode.RESOURCE


def test_st_08_a_lock_holds_across_pid_namespaces(tmp_path, elsewhere):
    process, signed = elsewhere
    with pytest.raises(Refusal, match=process_named(signed)), locked(tmp_path):
        pass
    assert lives(signed) is None  # its number means nothing here, so nothing shows that it died
    process.stdin.close()
    with locked(tmp_path, wait_s=60, say=pytest.fail):
        pass


def test_a_process_lives_until_it_ends_and_one_that_gets_its_number_is_another(holder):
    signed = re.sub(r"pid=\d+ began=\d+", "", this_process())
    began = Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[19]
    assert lives(f"pid={holder.pid} began={began} {signed}") is True
    assert lives(f"pid={holder.pid} began=1 {signed}") is False
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    assert lives(f"pid={holder.pid} began={began} {signed}") is False
    assert lives(f"pid=../self began={began} {signed}") is False


@pytest.mark.parametrize("change", [("boot=", "boot=another-"), ("pid:[", "pid:[1"), ("host=", "")])
def test_of_another_boot_or_namespace_nobody_can_tell(change):
    assert lives(this_process()) is True
    assert lives(this_process().replace(*change)) is (True if change[0] == "host=" else None)
    assert lives("") is None


@pytest.mark.parametrize(("answer", "living"), [(PermissionError, None), (ProcessLookupError, False)])
def test_a_process_that_proc_hides_from_us_is_not_dead(monkeypatch, answer, living):
    """`hidepid` hides the processes of other users; the kernel still knows them."""

    def kill(pid, number):
        raise answer

    here = parts(this_process())
    hidden = " ".join(f"{key}={value}" for key, value in (here | {"pid": str(2**22 + 5)}).items())  # above pid_max
    monkeypatch.setattr(os, "kill", kill)
    assert lives(hidden) is living
