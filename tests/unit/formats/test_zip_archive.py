"""ZIP files: what is unpacked, and what is refused before anything is written."""

import os
import random
import stat
import struct
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from study_maker import assert_one_line_refusal

from femseg.errors import Fault, Refusal
from femseg.faults import ExitCode
from femseg.formats.zip_archive import any_file, archive_stem, is_archive, unpacked, unpacked_sizes


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """The folder for temporary files, where nothing must be left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zipped(path: Path, files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def entry(path: Path, name: str, *, mode: int = 0, content: bytes = b"/etc/passwd", flags: int = 0) -> Path:
    """A ZIP with one entry of a given kind."""
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = mode << 16, 3
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(info, content)
    if flags:
        raw = bytearray(path.read_bytes())
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            struct.pack_into("<H", raw, raw.index(mark) + offset, flags)
        path.write_bytes(raw)
    return path


def refused(path: Path, temporary: Path) -> tuple[Fault, ...]:
    """Nothing is left, in the folder for temporary files or beside the archive."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(Refusal) as refusal, unpacked(path):
        pass
    assert not any(temporary.iterdir())
    assert sorted(path.parent.rglob("*")) == before
    return refusal.value.faults


def test_files_come_out_as_they_went_in_and_the_folder_is_private_and_gone_afterwards(tmp_path, temporary):
    files = {"a/one.dcm": os.urandom(3_000_000), "./a/b/two.dcm": b"", "c\\three.dcm": b"3", "__MACOSX/a/._one": b"x"}
    with unpacked(zipped(tmp_path / "study.zip", files)) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert found == {"a/one.dcm": files["a/one.dcm"], "a/b/two.dcm": b"", "c/three.dcm": b"3"}
    assert not any(temporary.iterdir())


def test_the_folder_is_gone_after_an_error_too(tmp_path, temporary):
    path = zipped(tmp_path / "study.zip", {"a": b"1"})
    with pytest.raises(KeyError), unpacked(path):
        raise KeyError
    assert not any(temporary.iterdir())


def test_some_files_alone_can_be_unpacked(tmp_path):
    path = zipped(tmp_path / "study.zip", {"a/1": b"1", "a/2": b"2", "b": b"3"})
    with unpacked(path, only={"a/2"}) as folder:
        assert [path.name for path in folder.rglob("*") if path.is_file()] == ["2"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../outside.dcm", "leads out of its folder"),
        ("a/../../outside.dcm", "leads out of its folder"),
        ("..\\outside.dcm", "leads out of its folder"),
        ("/tmp/outside.dcm", "has an absolute name"),
        ("C:\\outside.dcm", "has an absolute name"),
        ("\\\\server\\share\\outside.dcm", "has an absolute name"),
        ("a" * 300, "has a name of 300 bytes"),
        ("/".join(["abcdefgh"] * 200), "has a name of 1799 bytes"),
    ],
)
def test_names_that_lead_out_are_refused_SC_07(tmp_path, temporary, name, says):
    faults = refused(entry(tmp_path / "study.zip", name), temporary)
    assert_one_line_refusal(faults, "SC-07", "study.zip/", says, exit_code=ExitCode.SECURITY)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (stat.S_IFLNK, "is a symbolic link"),
        (stat.S_IFCHR, "is a device"),
        (stat.S_IFBLK, "is a device"),
        (stat.S_IFIFO, "is a pipe"),
        (stat.S_IFSOCK, "is a socket"),
    ],
)
def test_links_and_devices_are_refused_SC_07(tmp_path, temporary, kind, says):
    faults = refused(entry(tmp_path / "study.zip", "slice.dcm", mode=kind | 0o777), temporary)
    assert_one_line_refusal(faults, "SC-07", "study.zip/slice.dcm", says, exit_code=ExitCode.SECURITY)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused_SC_07(tmp_path, temporary):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in ("a.dcm", "a.dcm", "b", "b/c.dcm"):
            made.writestr(name, name)
    faults = refused(path, temporary)
    assert [(fault.id, fault.file) for fault in faults] == [("SC-07", f"{path}/a.dcm"), ("SC-07", f"{path}/b")]


def test_more_than_ten_thousand_entries_are_refused_SC_07(tmp_path, temporary):
    path = zipped(tmp_path / "study.zip", dict.fromkeys(map(str, range(10_001)), b""), method=zipfile.ZIP_STORED)
    faults = refused(path, temporary)
    assert_one_line_refusal(faults, "SC-07", "10001 entries, at most 10000", exit_code=ExitCode.SECURITY)


def test_a_million_entries_are_refused_before_they_are_listed_SC_07(tmp_path, temporary):
    """Of a million entries `zipfile` would make a million objects."""
    one = zipped(tmp_path / "one.zip", {"a": b""}, method=zipfile.ZIP_STORED).read_bytes()
    at = one.index(b"PK\x01\x02")
    listed = one[at : one.index(b"PK\x05\x06")] * 1_000_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 16_960, 16_960, len(listed), at, 0)
    (tmp_path / "study.zip").write_bytes(one[:at] + listed + end)
    start = time.process_time()
    faults = refused(tmp_path / "study.zip", temporary)
    assert time.process_time() - start < 1.0
    assert_one_line_refusal(faults, "SC-07", "list of entries of 47000000 bytes", exit_code=ExitCode.SECURITY)


def test_a_bomb_is_refused_before_it_is_unpacked_IN_24(tmp_path, temporary):
    faults = refused(zipped(tmp_path / "study.zip", {"zeros": bytes(50_000_000)}), temporary)
    assert_one_line_refusal(faults, "IN-24", "times its size, at most 200", exit_code=ExitCode.RESOURCE)


def test_what_declares_more_than_is_ever_unpacked_is_refused_IN_24(tmp_path, temporary):
    path = zipped(tmp_path / "study.zip", {str(k): b"x" for k in range(3)}, method=zipfile.ZIP_STORED)
    raw, at = bytearray(path.read_bytes()), -1
    for _ in range(3):
        at = raw.index(b"PK\x01\x02", at + 1)
        struct.pack_into("<L", raw, at + 24, 0xFFFFFFF0)
    path.write_bytes(raw)
    faults = refused(path, temporary)
    assert_one_line_refusal(faults, "IN-24", "declares 12884901840 bytes", exit_code=ExitCode.RESOURCE)


def test_an_entry_that_is_larger_than_it_declares_is_refused_and_cut_at_its_size_IN_24(tmp_path, temporary):
    path = zipped(tmp_path / "study.zip", {"zeros": bytes(50_000_000), "noise": os.urandom(400_000)})
    raw = bytearray(path.read_bytes())
    struct.pack_into("<L", raw, raw.index(b"PK\x01\x02") + 24, 1000)
    path.write_bytes(raw)
    faults = refused(path, temporary)
    assert_one_line_refusal(faults, "IN-16", "study.zip/zeros", "CRC", exit_code=ExitCode.INTEGRITY)


def test_a_wrong_check_sum_is_refused_by_the_entry_IN_16(tmp_path, temporary):
    path = zipped(tmp_path / "study.zip", {"a.dcm": b"DICM" * 1000}, method=zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    faults = refused(path, temporary)
    assert_one_line_refusal(faults, "IN-16", "study.zip/a.dcm", "CRC", exit_code=ExitCode.INTEGRITY)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_torn_archive_is_refused_IN_16(tmp_path, temporary, kept):
    path = zipped(tmp_path / "study.zip", {"a.dcm": os.urandom(5000)})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert_one_line_refusal(refused(path, temporary), "IN-16", "no whole ZIP", exit_code=ExitCode.INTEGRITY)


def outcome(path: Path) -> tuple[set[str], set[bytes]]:
    """Ids of the faults, or what was unpacked."""
    try:
        with unpacked(path) as folder:
            return set(), {file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    except Refusal as refusal:
        return {fault.id for fault in refusal.faults}, set()


def test_damaged_archives_are_refused_or_unpacked_whole_IN_16(tmp_path, temporary):
    """Three bytes anywhere, 400 times: never another exception, never other bytes than those that went in."""
    rng = random.Random(0)
    files = {"a/1.dcm": rng.randbytes(300), "a/2.dcm": bytes(200)}
    path = zipped(tmp_path / "study.zip", files)
    whole = path.read_bytes()
    seen: set[str] = set()
    for _ in range(400):
        raw = bytearray(whole)
        for _ in range(3):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        path.write_bytes(raw)
        ids, found = outcome(path)
        seen |= ids
        assert found <= set(files.values())
    assert "IN-16" in seen
    assert seen <= {"SC-07", "IN-24", "IN-16", "IN-12"}
    assert not any(temporary.iterdir())


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (lambda folder: entry(folder / "study.zip", "a.dcm", flags=1), "is encrypted"),
        (lambda folder: zipped(folder / "study.zip", {"a": b"1"}, method=zipfile.ZIP_BZIP2), "packed by method 12"),
        (lambda folder: zipped(folder / "study.zip", {"a": b"1"}, method=zipfile.ZIP_LZMA), "packed by method 14"),
        (lambda folder: zipped(folder / "study.zip", {"in/ct.zip": b"PK"}), "an archive within an archive"),
        (lambda folder: zipped(folder / "study.zip", {"in/ct.tar.gz": b"x"}), "an archive within an archive"),
    ],
)
def test_what_is_not_unpacked_is_refused_with_what_to_do_IN_12(tmp_path, temporary, path, says):
    assert_one_line_refusal(refused(path(tmp_path), temporary), "IN-12", "study.zip/", says)


@pytest.mark.parametrize("name", ["study.tar", "study.tar.gz", "study.TGZ", "study.7z", "study.rar", "study.tar.xz"])
def test_other_kinds_of_archives_are_refused_by_name_IN_12(tmp_path, temporary, name):
    (tmp_path / name).write_bytes(b"any")
    assert is_archive(tmp_path / name)
    assert_one_line_refusal(refused(tmp_path / name, temporary), "IN-12", name, "pack it as ZIP")


def test_an_archive_that_is_not_there_is_refused_IN_26(tmp_path, temporary):
    assert_one_line_refusal(refused(tmp_path / "gone.zip", temporary), "IN-26", "gone.zip", "No such file")


@pytest.mark.parametrize(("name", "stem"), [("1.2.840.113.zip", "1.2.840.113"), ("a.tar.gz", "a"), ("B.ZIP", "B")])
def test_the_stem_of_an_archive_is_its_name_without_the_suffix(name, stem):
    assert archive_stem(Path(name)) == stem


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (os.mkfifo, "is a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device"),
        (lambda path: path.symlink_to(path.name), "Too many levels"),
    ],
    ids=["pipe", "device", "loop"],
)
@pytest.mark.timeout(20)
def test_what_is_no_file_is_named_and_never_waited_for_IN_26(tmp_path, temporary, make, says):
    path = tmp_path / "x.zip"
    make(path)
    assert_one_line_refusal(refused(path, temporary), "IN-26", "x.zip", says)
    assert unpacked_sizes(path) == {}
    assert not any_file(path, lambda name, head: True, head_bytes=1)
