"""Left and right told apart: in whole legs, hips and knees, of both legs or of one, whatever way the arrays run."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from scipy import ndimage

from femseg.inference.femora import told_apart
from femseg.phantom import PhantomSettings, phantom_study
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid, to_lps

SPACING = (4.0, 2.5, 2.5)
MIRROR = {"left": "right", "right": "left", "unknown": "unknown"}
ORIENTATIONS = [
    np.eye(3)[:, list(axes)] * signs for axes, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3))
]


def scan(legs, index=3):
    study = phantom_study(PhantomSettings(legs=legs, spacing_mm_zyx=SPACING, patients=8, cut_off_fraction=0.0), index)
    return study.femur, study.ct, study.patient.side


@pytest.fixture(scope="module")
def both():
    return scan("both")


@pytest.fixture(scope="module", params=[3, 4], ids=["right", "left"])
def one(request):
    return scan("one", request.param)


def part(volume, first_mm=0.0, last_mm=1e9, upright=True):
    """What a scan shows from one height to another above its femora's lower end (below their upper end if not)."""
    mask, ct, _ = volume
    filled = np.flatnonzero(mask.femur_zyx.any(axis=(1, 2)))
    step = SPACING[0]
    low, high = (round(mm / step) if mm < 1e8 else 10**6 for mm in (first_mm, last_mm))
    if upright:
        rows = slice(max(0, filled[0] + low) if low else 0, filled[0] + high)
    else:
        rows = slice(max(0, filled[-1] + 1 - high), filled[-1] + 1 - low if low else None)
    x, y, z = mask.grid.position_mm_xyz((rows.start, 0, 0)).tolist()
    femur_zyx, hu_zyx = mask.femur_zyx[rows], ct.hu_zyx[rows]
    grid = replace(mask.grid, shape_zyx=femur_zyx.shape, origin_mm_xyz=(x, y, z))
    return MaskVolume(femur_zyx=femur_zyx, grid=grid), CtVolume(hu_zyx=hu_zyx, grid=grid)


SHOWN = {
    "whole": {},
    "hip": {"last_mm": 60.0, "upright": False},
    "hip and shaft": {"last_mm": 160.0, "upright": False},
    "knee": {"last_mm": 125.0},
}


def mirrored(mask, ct):
    return (
        MaskVolume(femur_zyx=np.ascontiguousarray(mask.femur_zyx[..., ::-1]), grid=mask.grid),
        CtVolume(hu_zyx=np.ascontiguousarray(ct.hu_zyx[..., ::-1]), grid=ct.grid),
    )


@pytest.mark.parametrize("shown", SHOWN)
def test_both_legs_are_told_by_their_place_and_a_mirror_image_exchanges_them(both, shown):
    mask, ct = part(both, **SHOWN[shown])
    found = told_apart(mask, ct)
    x_mm = mask.grid.origin_mm_xyz[0] + mask.grid.spacing_mm_zyx[2] * np.arange(mask.grid.shape_zyx[2])
    expected = np.where(x_mm > 0, 1, 2) * mask.femur_zyx
    np.testing.assert_array_equal(found.labels.labels_zyx, expected)
    assert [femur.told_by for femur in found.by_side.values()] == [("place",), ("place",)]
    assert found.doubts == ()
    other = told_apart(*mirrored(mask, ct))
    np.testing.assert_array_equal(other.labels.labels_zyx[..., ::-1], np.array([0, 2, 1])[expected])


@pytest.mark.parametrize("with_ct", [True, False], ids=["ct", "mask alone"])
@pytest.mark.parametrize("shown", SHOWN)
def test_one_leg_is_told_by_its_shape_and_its_mirror_image_is_the_other(one, shown, with_ct):
    mask, ct = part(one, **SHOWN[shown])
    for scanned, side in (((mask, ct), one[2]), (mirrored(mask, ct), MIRROR[one[2]])):
        found = told_apart(scanned[0], scanned[1] if with_ct else None)
        assert set(found.by_side) == {side}
        assert set(found.by_side[side].told_by) <= {"head", "condyles"}
        assert found.doubts == ()
        np.testing.assert_array_equal(found.labels.labels_zyx > 0, scanned[0].femur_zyx)
        assert found.by_side[side].volume_ml == pytest.approx(mask.femur_zyx.sum() * mask.grid.voxel_volume_mm3 / 1000)


@pytest.mark.parametrize("shown", ["hip", "knee"])
def test_all_48_orientations_give_the_same_sides(one, both, shown):
    for volume in (one, both)[: 2 if shown == "hip" else 1]:
        mask, ct = part(volume, **SHOWN[shown])
        expected = told_apart(mask, ct)
        for direction in ORIENTATIONS:
            turned, turned_ct = written_along(direction, mask, ct)
            found = told_apart(turned, turned_ct)
            np.testing.assert_array_equal(
                to_lps(found.labels.labels_zyx, turned.grid)[0], expected.labels.labels_zyx, err_msg=str(direction)
            )
            assert found.by_side.keys() == expected.by_side.keys()


def written_along(direction, mask, ct):
    """The same scan in an array whose axes run along other directions of the patient."""
    shape_xyz = np.abs(direction).T @ mask.grid.shape_zyx[::-1]
    spacing_xyz = np.abs(direction).T @ mask.grid.spacing_mm_zyx[::-1]
    grid = VoxelGrid(
        shape_zyx=tuple(int(n) for n in shape_xyz[::-1]),
        spacing_mm_zyx=tuple(spacing_xyz[::-1].tolist()),
        direction_xyz=tuple(direction.ravel().tolist()),
    )
    first = to_lps(np.empty(grid.shape_zyx, bool), grid)[1].origin_mm_xyz
    grid = replace(grid, origin_mm_xyz=tuple(np.subtract(mask.grid.origin_mm_xyz, first).tolist()))
    femur_zyx, hu_zyx = np.empty(grid.shape_zyx, bool), np.empty(grid.shape_zyx, np.float32)
    to_lps(femur_zyx, grid)[0][...] = mask.femur_zyx
    to_lps(hu_zyx, grid)[0][...] = ct.hu_zyx
    return MaskVolume(femur_zyx=femur_zyx, grid=grid), CtVolume(hu_zyx=hu_zyx, grid=grid)


def test_a_piece_of_shaft_is_of_an_unknown_side_unless_the_header_knows_IF_10(one):
    mask, ct = part(one, 150.0, 300.0)
    found = told_apart(mask, ct)
    assert set(found.by_side) == {"unknown"}
    assert set(np.unique(found.labels.labels_zyx)) == {0, 3}
    assert found.doubts == ("IF-10 the side is not told: no head, no condyles with enough shaft, no second leg",)
    by_header = told_apart(mask, ct, header="right")
    assert by_header.by_side["right"].told_by == ("header",)
    assert by_header.doubts == ()
    assert set(told_apart(mask, ct, header="both").by_side) == {"unknown"}


def test_a_header_that_says_otherwise_than_the_bone_is_a_doubt_and_does_not_decide_IF_10(one):
    mask, ct = part(one)
    side = one[2]
    found = told_apart(mask, ct, header=MIRROR[side])
    assert set(found.by_side) == {side}
    (doubt,) = found.doubts
    assert doubt == f"IF-10 the header says {MIRROR[side]}, but the femur is {side} by its head, {side} by its condyles"


def test_head_and_condyles_that_contradict_each_other_tell_no_side_IF_10(one):
    mask, _ = part(one)
    femur_zyx = mask.femur_zyx.copy()
    middle = len(femur_zyx) // 2
    lower = femur_zyx[:middle, :, ::-1]
    at, below = (np.argwhere(slice_yx).mean(axis=0)[1] for slice_yx in (femur_zyx[middle], lower[-1]))
    femur_zyx[:middle] = np.roll(lower, round(at - below), axis=2)  # one piece with a shaft that goes on
    found = told_apart(MaskVolume(femur_zyx=femur_zyx, grid=mask.grid))
    assert set(found.by_side) == {"unknown"}
    assert found.doubts == (f"IF-10 the side is not told: {one[2]} by its head, {MIRROR[one[2]]} by its condyles",)


def test_a_neck_that_points_forward_more_than_inward_tells_no_side(one):
    """A leg that fell outward: what lies medial of the shaft is then the trochanter."""
    mask, _ = part(one, last_mm=160.0, upright=False)
    for degrees in (20, 80):
        turned = turned_about_z(mask, degrees if one[2] == "right" else -degrees)
        assert set(told_apart(turned).by_side) == ({one[2]} if degrees < 60 else {"unknown"})


def turned_about_z(mask, degrees):
    femur_zyx = np.pad(mask.femur_zyx, ((0, 0), (40, 40), (40, 40))).astype(np.float32)
    turned = ndimage.rotate(femur_zyx, degrees, axes=(1, 2), reshape=False, order=1) > 0.5
    return MaskVolume(femur_zyx=turned, grid=replace(mask.grid, shape_zyx=turned.shape))


def test_a_femur_without_its_head_is_not_taken_for_one_of_the_other_side(one):
    """After a hip replacement the greater trochanter is on top, lateral of the shaft."""
    mask, _ = part(one, last_mm=130.0, upright=False)
    femur_zyx = mask.femur_zyx.copy()
    filled = np.flatnonzero(femur_zyx.any(axis=(1, 2)))[-1]
    head = np.argwhere(femur_zyx[filled - 3 : filled + 1]).mean(axis=0) + np.array([filled - 5, 0, 0])
    z, y, x = np.indices(femur_zyx.shape)
    away_mm2 = sum(((at - c) * s) ** 2 for at, c, s in zip((z, y, x), head, SPACING, strict=True))
    femur_zyx &= away_mm2 > 32.0**2
    assert femur_zyx.sum() < 0.9 * mask.femur_zyx.sum()
    found = told_apart(MaskVolume(femur_zyx=femur_zyx, grid=mask.grid))
    assert set(found.by_side) == {"unknown"}


def with_box(mask, centre_mm, edge_mm):
    """The mask and a cube elsewhere."""
    femur_zyx = mask.femur_zyx.copy()
    index = np.rint(np.subtract(centre_mm, mask.grid.origin_mm_xyz) / mask.grid.spacing_mm_zyx[::-1]).astype(int)[::-1]
    half = np.rint(edge_mm / 2 / np.array(SPACING)).astype(int)
    femur_zyx[tuple(slice(max(0, i - h), i + h) for i, h in zip(index, half, strict=True))] = True
    return MaskVolume(femur_zyx=femur_zyx, grid=mask.grid)


def test_a_small_piece_elsewhere_does_not_turn_the_side_of_a_femur_IF_10(both):
    """A bone of the hand lies lateral of the hip: the femur is not the right one because of it."""
    mask, _, _ = both
    left_zyx = mask.femur_zyx.copy()
    left_zyx[..., : mask.grid.shape_zyx[2] // 2] = False
    z = np.flatnonzero(left_zyx.any(axis=(1, 2)))
    x, y, low = mask.grid.position_mm_xyz((float(z[len(z) // 2]), *np.argwhere(left_zyx)[:, 1:].mean(axis=0)))
    left = MaskVolume(femur_zyx=left_zyx, grid=mask.grid)
    lateral = told_apart(with_box(left, (x + 75.0, y, low), 22.0))
    assert [len(femur.pieces_ml) for femur in lateral.by_side.values()] == [1, 1]
    assert set(lateral.by_side) == {"left", "unknown"}
    assert lateral.doubts == ("IF-10 a piece lies left of the left femur, where none is",)
    medial = told_apart(with_box(left, (x - 120.0, y, low), 22.0))
    assert medial.by_side["right"].told_by == ("other",)
    assert medial.doubts == ()


def test_femora_whose_shape_contradicts_their_place_keep_it_and_are_doubtful_IF_10(both):
    mask, ct, _ = both
    half = mask.grid.shape_zyx[2] // 2
    femur_zyx = np.concatenate([mask.femur_zyx[..., half:], mask.femur_zyx[..., :half]], axis=2)
    found = told_apart(MaskVolume(femur_zyx=femur_zyx, grid=mask.grid), ct)
    assert set(found.by_side) == {"left", "right"}
    assert found.doubts == (
        "IF-10 the right femur lies on the right, but is left by its head, left by its condyles",
        "IF-10 the left femur lies on the left, but is right by its head, right by its condyles",
    )


def test_femora_grown_together_are_of_an_unknown_side_IF_10(both):
    mask, ct, _ = both
    femur_zyx = mask.femur_zyx.copy()
    z = np.flatnonzero(femur_zyx.any(axis=(1, 2)))[4]
    x = np.flatnonzero(femur_zyx[z].any(axis=0))
    y = np.flatnonzero(femur_zyx[z].any(axis=1))
    femur_zyx[z, y[0] : y[-1], x[0] : x[-1]] = True
    found = told_apart(MaskVolume(femur_zyx=femur_zyx, grid=mask.grid), ct)
    assert set(found.by_side) == {"unknown"}
    assert "grown together" in found.doubts[0]


def test_fragments_of_a_broken_femur_are_of_one_side(one):
    mask, ct = part(one)
    femur_zyx = mask.femur_zyx.copy()
    femur_zyx[len(femur_zyx) // 2 : len(femur_zyx) // 2 + 3] = False
    found = told_apart(MaskVolume(femur_zyx=femur_zyx, grid=mask.grid), ct)
    assert set(found.by_side) == {one[2]}
    assert len(found.by_side[one[2]].pieces_ml) == 2
    assert set(found.by_side[one[2]].told_by) == {"head", "condyles"}


def test_the_second_leg_tells_the_side_of_a_piece_of_shaft(both):
    """One femur of two was found; a body that ends within the scan on both sides has its middle between the legs."""
    mask, ct = part(both, 150.0, 300.0)
    left_zyx = mask.femur_zyx.copy()
    left_zyx[..., : left_zyx.shape[2] // 2] = False
    found = told_apart(MaskVolume(femur_zyx=left_zyx, grid=mask.grid), ct)
    assert found.by_side["left"].told_by == ("body",)
    assert found.doubts == ()


def test_an_empty_mask_has_no_femora():
    grid = VoxelGrid(shape_zyx=(4, 5, 6), spacing_mm_zyx=(1.0, 1.0, 1.0))
    found = told_apart(MaskVolume(femur_zyx=np.zeros(grid.shape_zyx, bool), grid=grid))
    assert found.by_side == {}
    assert not found.labels.labels_zyx.any()
