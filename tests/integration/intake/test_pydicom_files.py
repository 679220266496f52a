"""pydicom's own test files, each alone in a folder: what intake makes of it is written down, with a reason."""

import shutil
from pathlib import Path

import pydicom
import pytest
import yaml

from femseg.errors import Refusal
from femseg.intake.single_ct import inspect_study

EXPECTED = yaml.safe_load(Path(__file__).with_name("pydicom_files.yaml").read_text(encoding="utf-8"))
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def outcome(source: Path, folder: Path) -> list[str]:
    """The ids of the faults; none where the file is accepted."""
    folder.mkdir(exist_ok=True)
    shutil.copy(source, folder)
    try:
        inspect_study(folder, id_key=b"key")
    except Refusal as refusal:
        return sorted({fault.id for fault in refusal.faults})
    finally:
        (folder / source.name).unlink()
    return []


def different(root: Path, section: str, folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Files whose outcome is not the expected one."""
    found = {name: outcome(root / name, folder) for name in EXPECTED[section]}
    return {
        name: (ids, EXPECTED[section][name]["faults"])
        for name, ids in found.items()
        if ids != EXPECTED[section][name]["faults"]
    }


def test_every_file_that_pydicom_ships_has_its_expected_outcome(tmp_path):
    there = {path.relative_to(SHIPPED).as_posix() for path in SHIPPED.rglob("*") if path.is_file()}
    assert {name for name in there if "__pycache__" not in name} == EXPECTED["shipped_with_pydicom"].keys()
    assert different(SHIPPED, "shipped_with_pydicom", tmp_path / "alone") == {}


def test_every_file_of_pydicom_data_has_its_expected_outcome(tmp_path):
    store = pytest.importorskip("data_store", reason="pydicom-data is not installed")
    root = Path(store.__file__).parent / "data"
    there = {path.relative_to(root).as_posix() for path in root.rglob("*.dcm")}
    assert there == EXPECTED["in_pydicom_data"].keys()
    assert different(root, "in_pydicom_data", tmp_path / "alone") == {}


def test_every_outcome_has_a_reason():
    assert all(len(entry["why"]) > 10 for section in EXPECTED.values() for entry in section.values())
