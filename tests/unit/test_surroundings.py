"""What a container or a terminal may lack is no fault of femseg: homes, names, room, signs."""

import os
import subprocess
import sys

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.services.cluster.socket_place import place_for_sockets

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


def ended(body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command with this body."""
    code = f"from femseg.exits import command_exit\nwith command_exit():\n    {body}\n"
    env = {name: value for name, value in os.environ.items() if name not in (*NAMES, "FEMSEG_DEBUG")}
    return subprocess.run(
        [sys.executable, "-c", code], env=env | environment, capture_output=True, text=True, check=False
    )


def test_signs_that_a_terminal_cannot_show_are_written_out():
    done = ended("print('✓ Größe')", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stdout) == (0, "\\u2713 Gr\\xf6\\xdfe\n")


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT", "EROFS"])
def test_a_disk_that_takes_nothing_is_named_wherever_it_is_met_ST_06(number):
    done = ended(f"import errno, os; raise OSError(errno.{number}, os.strerror(errno.{number}), '/tmp/x')")
    assert done.returncode == ExitCode.RESOURCE
    assert done.stderr.startswith("error ST-06: /tmp/x: cannot be written: ")


def test_no_place_for_temporary_files_is_no_fault_of_femseg_ST_06():
    done = ended(
        "import errno, tempfile; raise FileNotFoundError(errno.ENOENT, 'No usable temporary directory found in [...]')"
    )
    assert done.returncode == ExitCode.RESOURCE
    assert "set TMPDIR" in done.stderr


def test_a_file_that_is_not_there_stays_an_error_of_its_own():
    assert ended("open('/nowhere')").returncode == ExitCode.INTERNAL


def test_a_user_without_a_name_is_a_number():
    body = (
        "import pwd, getpass\n"
        "    pwd.getpwuid = lambda uid: {}[uid]\n"  # the system's table has no such user
        "    from femseg.exits import command_exit as again\n"
        "    with again():\n        print(getpass.getuser())"
    )
    done = ended(body)
    assert done.stdout == f"{os.getuid()}\n", done.stderr


def test_rays_session_goes_where_its_sockets_names_have_room(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 110)))
    assert place_for_sockets() in ("/tmp", "/var/tmp", "/dev/shm")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(Refusal, match="set TMPDIR to a short path") as refused:
        place_for_sockets()
    assert (refused.value.faults[0].id, refused.value.exit_code) == ("ST-06", ExitCode.RESOURCE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HOME", "TMPDIR"])
def test_ray_starts_without_a_home_and_with_a_long_tmpdir(tmp_path, name):
    place = tmp_path / ("x" * 110)
    place.mkdir()
    body = (
        "import ray; from femseg.services.cluster.session import ray_session\n"
        "    with ray_session(cpus=1):\n        print(ray.get(ray.remote(lambda: 3).remote()))"
    )
    done = ended(body, **{name: "/proc/1/nobody" if name == "HOME" else str(place)})
    assert done.stdout == "3\n", done.stderr
