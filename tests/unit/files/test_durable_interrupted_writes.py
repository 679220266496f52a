"""What a killed writer leaves goes when its name is written again; what a living one is about to finish stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import (
    folder_written_durably,
    require_writable,
    sha256_of_file,
    write_bytes_durably,
    written_durably,
)

_KILLED = """
import os, signal, sys
from pathlib import Path
from femseg.files.durable import folder_written_durably, write_bytes_durably, written_durably
target, what = Path(sys.argv[1]), sys.argv[2]
if what == "replaced":
    rename = Path.rename
    def rename_once(self, to):
        rename(self, to)
        os.kill(os.getpid(), signal.SIGKILL)
    Path.rename = rename_once
with (written_durably if what == "file" else folder_written_durably)(target) as unfinished:
    if what == "file":
        unfinished.write_bytes(b"half")
    else:
        write_bytes_durably(unfinished / "a.bin", b"half")
    if what != "replaced":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_while_writing(target: Path, what: str) -> list[Path]:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(target), what], check=False)
    assert done.returncode == -signal.SIGKILL
    left = [path for path in target.parent.iterdir() if path != target]
    assert left
    return left


def test_what_a_killed_writer_of_a_file_left_goes_with_the_next_writing(tmp_path):
    target = tmp_path / "mask.nii.gz"
    killed_while_writing(target, "file")
    write_bytes_durably(tmp_path / "other.nii.gz", b"whole")
    assert len(list(tmp_path.iterdir())) == 2  # another name's writer lets it be
    write_bytes_durably(target, b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.nii.gz", "other.nii.gz"]


def test_what_a_killed_writer_of_a_folder_left_goes_with_the_next_writing(tmp_path):
    target = tmp_path / "model"
    killed_while_writing(target, "folder")
    with folder_written_durably(target) as unfinished:
        write_bytes_durably(unfinished / "a.bin", b"whole")
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_was_being_replaced_comes_back_if_its_writer_was_killed(tmp_path):
    target = tmp_path / "model"
    with folder_written_durably(target) as unfinished:
        write_bytes_durably(unfinished / "a.bin", b"first")
    killed_while_writing(target, "replaced")
    assert not target.exists()
    with pytest.raises(KeyError), folder_written_durably(target):
        assert (target / "a.bin").read_bytes() == b"first"
        raise KeyError("the next one fails, too")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "a.bin").read_bytes() == b"first"


def test_what_a_living_writer_is_about_to_finish_stays(tmp_path):
    target = tmp_path / "a.bin"
    with written_durably(target) as slow:
        slow.write_bytes(b"slow")
        write_bytes_durably(target, b"quick")
        assert slow.read_bytes() == b"slow"
    assert target.read_bytes() == b"slow"
    assert list(tmp_path.iterdir()) == [target]


def test_a_secret_is_for_its_owner_from_the_first_byte_on(tmp_path):
    with written_durably(tmp_path / "key", mode=0o600) as unfinished:
        assert unfinished.stat().st_mode & 0o777 == 0o600
    with written_durably(tmp_path / "plain") as unfinished:
        assert unfinished.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("place", ["/proc/mask.nii.gz", "/proc/deep/mask.nii.gz", "a-file/mask.nii.gz"])
def test_a_place_where_nothing_can_be_written_is_refused_beforehand_and_nothing_is_made(tmp_path, place):
    (tmp_path / "a-file").write_bytes(b"mine")
    for refuse in (require_writable, lambda path: write_bytes_durably(path, b"x")):
        with pytest.raises(Refusal, match=r"ST-(06|10)") as refused:
            refuse(tmp_path / place)
        assert refused.value.exit_code in (ExitCode.USAGE, ExitCode.RESOURCE)
    require_writable(tmp_path / "not" / "there" / "yet" / "mask.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_a_name_too_long_for_the_disk_is_refused_in_one_line(tmp_path):
    with pytest.raises(Refusal, match=r"ST-10.*File name too long"):
        write_bytes_durably(tmp_path / ("x" * 300), b"x")
    write_bytes_durably(tmp_path / ("x." * 127 + "x"), b"x")


@pytest.mark.timeout(20)
def test_a_pipe_has_no_hash_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is a pipe"):
        sha256_of_file(tmp_path / "pipe")
