"""A file appears whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import (
    folder_written_durably,
    read_json,
    sha256_of_file,
    write_bytes_durably,
    write_json_durably,
    written_durably,
)


def test_written_bytes_read_back_with_the_hash_that_was_returned(tmp_path):
    path = tmp_path / "new" / "a.bin"
    assert write_bytes_durably(path, b"femur" * 500_000) == sha256_of_file(path)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_at_any_step_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):  # ST-01
    path = tmp_path / "a.bin"
    write_bytes_durably(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
        with pytest.raises(Refusal) as refused:
            write_bytes_durably(path, b"new")
    assert refused.value.exit_code == ExitCode.RESOURCE
    assert str(path) in str(refused.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_lies_is_found_by_reading_back(tmp_path):
    path = tmp_path / "a.bin"

    def refuse(temporary: Path) -> None:
        if temporary.read_bytes() != b"whole":
            raise OSError(errno.EIO, "short")

    with pytest.raises(Refusal), written_durably(path, check=refuse) as temporary:
        temporary.write_bytes(b"half")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_block_leaves_nothing_under_the_final_name(tmp_path):
    with pytest.raises(KeyboardInterrupt), written_durably(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", [written_durably, folder_written_durably])
def test_a_file_where_a_folder_is_meant_is_a_wrong_argument_and_exit_2(tmp_path, writer):
    (tmp_path / "file").write_bytes(b"mine")
    path = tmp_path / "file" / "deeper" / "a.bin"
    with pytest.raises(Refusal, match="Not a directory") as refused, writer(path):
        raise AssertionError("nothing can be written there")
    assert refused.value.exit_code == ExitCode.USAGE
    assert str(path) in str(refused.value)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_folder_where_a_file_is_meant_is_a_wrong_argument_and_exit_2(tmp_path):
    with pytest.raises(Refusal, match="Is a directory") as refused:
        write_bytes_durably(tmp_path, b"new")
    assert refused.value.exit_code == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_on_a_full_disk_is_exit_5(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", full)
        with pytest.raises(Refusal) as refused:
            write_bytes_durably(tmp_path / "new" / "a.bin", b"new")
    assert refused.value.exit_code == ExitCode.RESOURCE


def test_json_refuses_nan_and_round_trips(tmp_path):
    write_json_durably(tmp_path / "a.json", {"dice": [0.5, None]})
    assert read_json(tmp_path / "a.json") == {"dice": [0.5, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json_durably(tmp_path / "b.json", {"dice": float("nan")})


@pytest.mark.parametrize("content", [None, b"", b'{"a": 1', b"\xff\xfe"])
def test_a_missing_or_torn_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refusal, match=r"a\.json") as refused:
        read_json(path)
    assert refused.value.exit_code == ExitCode.INTEGRITY
