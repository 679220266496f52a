import errno

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import folder_written_durably, write_bytes_durably


def test_a_folder_appears_whole_under_its_name_and_replaces_the_earlier_one(tmp_path):
    folder = tmp_path / "deep" / "case"
    for content in (b"first", b"second"):
        with folder_written_durably(folder) as unfinished:
            assert unfinished.parent == folder.parent
            write_bytes_durably(unfinished / "a.bin", content)
        assert (folder / "a.bin").read_bytes() == content
    assert [entry.name for entry in folder.parent.iterdir()] == ["case"]


def test_an_error_on_the_way_leaves_what_was_there_before_and_nothing_else(tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"first")
    with pytest.raises(KeyError), folder_written_durably(folder) as unfinished:
        write_bytes_durably(unfinished / "a.bin", b"second")
        raise KeyError("half-way")
    assert (folder / "a.bin").read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["case"]


def test_a_full_disk_is_a_refusal_that_names_the_folder(tmp_path):
    with pytest.raises(Refusal, match="No space left") as refusal, folder_written_durably(tmp_path / "case"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert refusal.value.exit_code is ExitCode.RESOURCE
    assert list(tmp_path.iterdir()) == []
