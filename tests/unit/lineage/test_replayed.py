"""Two evaluations beside one another: the same masks, or how many voxels differ."""

import gzip

import numpy as np
import pytest

from femseg.files.durable import sha256_of_file
from femseg.formats.writing import write_mask
from femseg.lineage.replayed import replayed_cases
from femseg.metrics.scorecard import score
from femseg.volumes.grid import MaskVolume, VoxelGrid

SHAPE = (6, 5, 4)
GRID = VoxelGrid(shape_zyx=SHAPE, spacing_mm_zyx=(1.0, 1.0, 1.0))
FIRST = np.zeros(SHAPE, dtype=bool)
FIRST[1:4, 1:4, 1:3] = True  # 18 voxels


def write(folder, mask) -> None:
    write_mask(folder / "ct_grid" / "case-1.nii.gz", MaskVolume(femur_zyx=mask, grid=GRID))
    (folder / "network_grid").mkdir(exist_ok=True)
    np.save(folder / "network_grid" / "case-1.npy", mask)


@pytest.fixture
def first(tmp_path):
    """A first evaluation and the hashes of its files."""
    write(tmp_path / "first", FIRST)
    names = ("ct_grid/case-1.nii.gz", "network_grid/case-1.npy")
    return tmp_path / "first", {name: sha256_of_file(tmp_path / "first" / name) for name in names}


def compare(first, again, originals, rows=()):
    expected = first[1] | {"scores.csv": "00" * 32}
    return {case.grid: case for case in replayed_cases(expected, again, originals, rows, rows)}


def test_equal_masks_are_the_same_bytes(first, tmp_path):
    write(tmp_path / "again", FIRST)
    row = score(FIRST, FIRST, (1.0, 1.0, 1.0), case_id="case-1", grid="native")
    found = compare(first, tmp_path / "again", [], [row])
    assert {case.verdict for case in found.values()} == {"same bytes"}
    assert (found["native"].dice_before, found["native"].dice_now) == (1.0, 1.0)
    assert found["network"].dice_before is None


def test_equal_voxels_in_a_file_that_is_packed_otherwise_are_the_same(first, tmp_path):
    write(tmp_path / "again", FIRST)
    mask = tmp_path / "again" / "ct_grid" / "case-1.nii.gz"
    mask.write_bytes(gzip.compress(gzip.decompress(mask.read_bytes()), compresslevel=1, mtime=7))
    found = compare(first, tmp_path / "again", [first[0]])["native"]
    assert (found.verdict, found.same, found.differing_voxels) == ("same voxels", True, 0)


def test_a_differing_mask_is_told_in_voxels_and_overlap(first, tmp_path):
    second = FIRST.copy()
    second[1, 1, 1], second[5, 4, 3], second[5, 4, 2] = False, True, True
    write(tmp_path / "again", second)
    for case in compare(first, tmp_path / "again", [tmp_path / "nowhere", first[0]]).values():
        assert (case.verdict, case.same, case.differing_voxels) == ("different", False, 3)
        assert case.dice_between == pytest.approx(2 * 17 / (18 + 19))


def test_a_differing_mask_without_the_first_one_is_not_called_the_same(first, tmp_path):
    write(tmp_path / "again", ~FIRST)
    write(tmp_path / "altered", ~FIRST)  # has the name of the first one, not its hash
    for case in compare(first, tmp_path / "again", [tmp_path / "altered"]).values():
        assert (case.verdict, case.same, case.dice_between) == ("not compared", False, None)


def test_a_mask_that_was_not_made_again_is_missing(first, tmp_path):
    (tmp_path / "again").mkdir()
    assert {case.verdict for case in compare(first, tmp_path / "again", [first[0]]).values()} == {"missing"}


def test_masks_of_another_size_differ(first, tmp_path):
    np.save((tmp_path / "network.npy"), FIRST)
    again = tmp_path / "again" / "network_grid"
    again.mkdir(parents=True)
    np.save(again / "case-1.npy", FIRST[:-1])
    assert compare(first, tmp_path / "again", [first[0]])["network"].verdict == "different"
