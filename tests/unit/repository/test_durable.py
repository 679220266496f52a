"""A file appears whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from femseg.durable import read_json, sha256_of_file, write_bytes_durably, write_json_durably, written_durably
from femseg.errors import ExitCode, Refusal


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
