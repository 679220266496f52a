import numpy as np

from femseg.comparison.verdict import threshold_baseline


def test_the_largest_piece_at_or_above_the_threshold_is_kept_whole():
    ct = np.full((4, 6, 6), -100.0, np.float32)
    ct[1:3, 1:4, 1:4] = 200.0  # 18 voxels, at the threshold
    ct[1, 1, 5] = 3000.0  # brighter and smaller
    mask = threshold_baseline(ct)
    assert mask.dtype == bool
    assert mask.sum() == 18
    assert mask[1:3, 1:4, 1:4].all()


def test_pieces_that_meet_in_a_corner_only_are_two():
    ct = np.zeros((2, 4, 4), np.float32)
    ct[0, :2, :2] = ct[1, 2, 2] = 500.0
    assert threshold_baseline(ct).sum() == 4


def test_holes_stay_open():
    ct = np.full((5, 5, 5), 900.0, np.float32)
    ct[2, 2, 2] = 20.0  # marrow
    assert not threshold_baseline(ct)[2, 2, 2]


def test_a_ct_without_bone_gives_an_empty_mask():
    assert not threshold_baseline(np.zeros((3, 3, 3), np.float32)).any()


def test_the_threshold_is_a_setting():
    ct = np.full((3, 3, 3), 250.0, np.float32)
    assert threshold_baseline(ct, threshold_hu=200.0).all()
    assert not threshold_baseline(ct, threshold_hu=300.0).any()
