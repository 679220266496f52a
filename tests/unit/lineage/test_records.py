"""A record beside an output names files, models and CTs by hash, and notices when it is changed."""

import json

import pytest
from tiny_model import write_tiny_package

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file
from femseg.formats.source import HashedFile, Source
from femseg.lineage.output_links import files_of, outputs_of
from femseg.lineage.records import (
    FOLDER_RECORD,
    OutputRecord,
    hashes_of,
    read_record,
    record_beside,
    record_of,
    series_sha256,
    write_record,
)

MODEL = "ab" * 32


@pytest.fixture
def evaluated(tmp_path):
    """A folder with two files and their record."""
    folder = tmp_path / "results" / "raw"
    (folder / "ct_grid").mkdir(parents=True)
    (folder / "ct_grid" / "case-1.nii.gz").write_bytes(b"mask")
    (folder / "scores.csv").write_bytes(b"scores")
    files = hashes_of(folder, ["ct_grid/case-1.nii.gz", "scores.csv"])
    record = OutputRecord(kind="evaluation", files=files, models={"raw": MODEL}, cts={"case-1": "cd" * 32})
    write_record(folder / FOLDER_RECORD, record)
    return folder, record


def series(*sha256: str, names=("a", "b", "c")) -> Source:
    files = tuple(HashedFile(path=name, sha256=one) for name, one in zip(names, sha256, strict=False))
    return Source(kind="dicom", files=files)


def test_a_record_comes_back_as_it_was_written_and_equal_ones_have_equal_bytes(evaluated, tmp_path):
    folder, record = evaluated
    assert read_record(folder / FOLDER_RECORD) == record
    write_record(tmp_path / "again.json", record)
    assert (tmp_path / "again.json").read_bytes() == (folder / FOLDER_RECORD).read_bytes()


def test_a_ct_has_one_hash_whatever_the_names_and_the_order_of_its_files():
    assert series_sha256(series("11", "22")) == series_sha256(series("22", "11", names=("x", "y")))
    assert series_sha256(series("11", "22")) != series_sha256(series("11", "23"))
    assert series_sha256(series("11", "22")) != series_sha256(series("11", "22", "22"))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda plain: plain["record"]["models"].update(raw="00" * 32), id="another model"),
        pytest.param(lambda plain: plain.update(format=2), id="another format"),
        pytest.param(lambda plain: plain.pop("record"), id="nothing in it"),
        pytest.param(lambda plain: plain.update(sha256="00" * 32), id="another hash"),
    ],
)
def test_a_changed_record_is_refused(evaluated, change):
    path = evaluated[0] / FOLDER_RECORD
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))
    with pytest.raises(Refusal, match="ST-02") as refused:
        read_record(path)
    assert refused.value.exit_code == ExitCode.INTEGRITY


def test_a_torn_record_is_refused(evaluated):
    path = evaluated[0] / FOLDER_RECORD
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Refusal, match="ST-02"):
        read_record(path)


def test_the_record_of_a_file_is_found_beside_it_or_above_it(evaluated, tmp_path):
    folder, record = evaluated
    mask = folder / "ct_grid" / "case-1.nii.gz"
    assert record_of(mask) == (folder / FOLDER_RECORD, "ct_grid/case-1.nii.gz")
    write_record(record_beside(mask), record)
    assert record_of(mask) == (record_beside(mask), "")
    (folder / "notes.txt").touch()
    (tmp_path / "mask.nii.gz").touch()
    assert record_of(folder / "notes.txt") is None
    assert record_of(tmp_path / "mask.nii.gz") is None


def test_a_package_says_nothing_of_files_beside_it(tmp_path):
    write_tiny_package(tmp_path / "package")
    assert record_of(tmp_path / "package" / "model.json") is None


def test_outputs_of_a_model_are_found_with_their_state(evaluated, tmp_path):
    folder, _ = evaluated
    beside = tmp_path / "mask.nii.gz"
    beside.write_bytes(b"mine")
    record = OutputRecord(kind="segmentation", files={"mask": sha256_of_file(beside)}, models={"raw": MODEL})
    write_record(record_beside(beside), record)
    assert list(files_of(record_beside(beside), record)) == [beside]
    hidden = tmp_path / ".dvc" / "tmp"
    hidden.mkdir(parents=True)
    write_record(hidden / FOLDER_RECORD, record)

    def states():
        return {output.path.removeprefix(f"{tmp_path}/"): output.state for output in outputs_of(MODEL, tmp_path)}

    assert states() == {
        "mask.nii.gz": "holds",
        "results/raw/ct_grid/case-1.nii.gz": "holds",
        "results/raw/scores.csv": "holds",
    }
    (folder / "scores.csv").write_bytes(b"other")
    beside.unlink()
    assert states()["results/raw/scores.csv"] == "broken"
    assert states()["mask.nii.gz"] == "gone"
    assert outputs_of("00" * 32, tmp_path) == []
