"""What a version predicted for the test cases, kept with it: masks on the CTs' own grids under one hash."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.case import Case
from femseg.errors import Refusal
from femseg.files.durable import (
    folder_written_durably,
    read_json,
    sha256_of_file,
    write_bytes_durably,
    write_json_durably,
)
from femseg.formats.reading import read_mask
from femseg.formats.source import HashedFile, Source
from femseg.gate.test_set import FrozenTestSet
from femseg.settings import as_plain

INDEX = "PREDICTIONS.json"
FORMAT = 1
_SAME_GRID_MM = 1e-3
_SCORES = "scores.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPredictions:
    """Predictions whose hashes held.

    Attributes:
        folder: where the files are.
        files: name → SHA-256.
        package_sha256: the package that is said to have made them.
        test_set_sha256: fingerprint of the test cases that they are of.
        split: train, validation and test case ids of that model.
    """

    folder: Path
    files: Mapping[str, str]
    package_sha256: str
    test_set_sha256: str
    split: Mapping[str, Any]

    @property
    def scores(self) -> Path:
        """The scorecard that was reported with them."""
        return self.folder / _SCORES

    def femur_zyx(self, case: Case) -> NDArray[np.bool_]:
        """The predicted femur of a case, on its CT's grid. Raises: Refusal RG-03 (exit 8) if it lies elsewhere."""
        name = _mask_name(case.case_id)
        source = Source(kind="volume", files=(HashedFile(path=name, sha256=self.files.get(name, "")),), labels=(1,))
        if name not in self.files:
            raise _refusal(self.folder / name, "is missing: a test case has no prediction")
        mask = read_mask(source, self.folder, case.grid)
        if mask.grid.shape_zyx != case.grid.shape_zyx or mask.grid.largest_offset_mm(case.grid) > _SAME_GRID_MM:
            raise _refusal(self.folder / name, "does not lie on its CT's grid")
        return mask.femur_zyx


def _mask_name(case_id: str) -> str:
    return f"{case_id}.nii.gz"


def write_predictions(folder: Path, evaluated: Path, *, package_sha256: str, test_set: FrozenTestSet) -> str:
    """Gather what the stage `evaluate` left of one model; equal content gives equal bytes.

    Args:
        folder: a new folder for the predictions, whole or not at all.
        evaluated: `results/evaluate/<mode>`.
    Returns: SHA-256 of the index, and so of all.
    Raises: Refusal RG-03 (exit 8) if a test case has no prediction, or there is one of no test case.
    """
    wanted = {_mask_name(case.case_id) for case in test_set.cases}
    there = {path.name for path in (evaluated / "ct_grid").glob("*")}
    if wanted != there:
        odd = sorted(wanted ^ there)
        problem = f"predictions and test cases differ in {len(odd)}: {', '.join(odd[:5])}"
        raise _refusal(evaluated / "ct_grid", problem)
    with folder_written_durably(folder) as made:
        files = {name: _copied(evaluated / "ct_grid" / name, made / name) for name in sorted(wanted)}
        files[_SCORES] = _copied(evaluated / _SCORES, made / _SCORES)
        index = {
            "format": FORMAT,
            "package_sha256": package_sha256,
            "test_set_sha256": test_set.sha256,
            "split": as_plain(test_set.split),
            "files": files,
        }
        return write_json_durably(made / INDEX, index)


def _copied(source: Path, target: Path) -> str:
    try:
        return write_bytes_durably(target, source.read_bytes())
    except FileNotFoundError:
        raise _refusal(source, "is missing") from None


def read_predictions(folder: Path, *, sha256: str) -> SavedPredictions:
    """Read predictions after every hash holds.

    Raises: Refusal RG-03 (exit 8) naming the file that is missing, altered, or does not belong there.
    """
    index = folder / INDEX
    if not index.is_file() or sha256_of_file(index) != sha256:
        raise _refusal(index, f"is missing or is not the one that was registered ({sha256[:12]}…)")
    plain = read_json(index)
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise _refusal(index, f"is no list of predictions of format {FORMAT}")
    files, split = plain.get("files"), plain.get("split")
    named = isinstance(files, dict) and all(isinstance(sha, str) for sha in files.values()) and _SCORES in files
    if not isinstance(files, dict) or not named or not isinstance(split, dict):
        raise _refusal(index, "names no files with their hashes, or no split")
    there = {path.name for path in folder.iterdir()} - {INDEX}
    if odd := sorted(there ^ files.keys()):
        raise _refusal(folder / odd[0], "is missing, or does not belong to the predictions")
    for name, expected in files.items():
        if sha256_of_file(folder / name) != expected:
            raise _refusal(folder / name, f"SHA-256 differs from the registered {expected[:12]}…")
    return SavedPredictions(
        folder=folder,
        files=files,
        package_sha256=str(plain.get("package_sha256")),
        test_set_sha256=str(plain.get("test_set_sha256")),
        split=split,
    )


def _refusal(path: Path, problem: str) -> Refusal:
    return Refusal.of("RG-03", path, problem, "run `dvc repro evaluate` and `make register` again")
