"""Two evaluations of one model, case by case: the same masks, or where and by how much they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk

from femseg.files.durable import sha256_of_file
from femseg.formats.itk import array_of, itk_reading
from femseg.metrics.masks import Mask
from femseg.metrics.overlap import Overlap
from femseg.metrics.scorecard import CaseScore, Grid

GRID_FOLDERS: dict[str, Grid] = {"network_grid": "network", "ct_grid": "native"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedCase:
    """One mask of the first evaluation beside the one that was made now.

    Attributes:
        case_id, grid: which mask.
        verdict: "same bytes", "same voxels" in a file that was packed otherwise, "different", "missing" if it was not
            made again, or "not compared" if the first file is not here and this one's hash is another.
        differing_voxels: of "different" masks on one grid.
        dice_between: overlap of both masks, where both are here.
        dice_before, dice_now: with the annotation.
    """

    case_id: str
    grid: Grid
    verdict: Literal["same bytes", "same voxels", "different", "missing", "not compared"]
    differing_voxels: int | None = None
    dice_between: float | None = None
    dice_before: float | None = None
    dice_now: float | None = None

    @property
    def same(self) -> bool:
        """Whether it is the same mask, voxel for voxel."""
        return self.verdict in ("same bytes", "same voxels")

    def as_plain(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def replayed_cases(
    expected: Mapping[str, str],
    again: Path,
    originals: Sequence[Path],
    before: Sequence[CaseScore],
    now: Sequence[CaseScore],
) -> list[ReplayedCase]:
    """Compare every mask of a first evaluation.

    Args:
        expected: SHA-256 of the first evaluation's files by path below its folder; what is no mask is passed over.
        again: the folder of the evaluation made now.
        originals: folders in which the first evaluation's own masks may lie; a file counts if its hash is right.
        before, now: the scorecards of both.
    """
    dice = {
        name: {(row.case_id, row.grid): row.dice for row in rows} for name, rows in (("before", before), ("now", now))
    }
    cases = []
    for name, sha256 in expected.items():
        folder, _, file = name.partition("/")
        if folder in GRID_FOLDERS:
            case_id, grid = file.partition(".")[0], GRID_FOLDERS[folder]
            present = (place / name for place in originals if (place / name).is_file())
            original = next((file for file in present if sha256_of_file(file) == sha256), None)
            verdict, voxels, between = _compared(again / name, sha256, original)
            cases.append(
                ReplayedCase(
                    case_id=case_id,
                    grid=grid,
                    verdict=verdict,
                    differing_voxels=voxels,
                    dice_between=between,
                    dice_before=dice["before"].get((case_id, grid)),
                    dice_now=dice["now"].get((case_id, grid)),
                )
            )
    return cases


def _compared(
    made: Path, sha256: str, original: Path | None
) -> tuple[Literal["same bytes", "same voxels", "different", "missing", "not compared"], int | None, float | None]:
    """Verdict, differing voxels, overlap."""
    if not made.is_file():
        return "missing", None, None
    if sha256_of_file(made) == sha256:
        return "same bytes", 0, 1.0
    if original is None:
        return "not compared", None, None
    first, second = _mask(original), _mask(made)
    if first.shape != second.shape:
        return "different", None, None
    voxels = int(np.count_nonzero(first != second))
    return ("different" if voxels else "same voxels"), voxels, Overlap.of(first, second).dice


def _mask(path: Path) -> Mask:
    """A mask that `evaluate` wrote. Raises: Refusal IN-16 if it cannot be read."""
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False), dtype=bool)
    with itk_reading(str(path)):
        return np.asarray(array_of(sitk.ReadImage(str(path))), dtype=bool)
