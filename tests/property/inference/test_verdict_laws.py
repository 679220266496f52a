"""What holds of every verdict: worse signals and more pieces never make it better; a word has its reasons."""

from dataclasses import replace

import numpy as np
from bright_network import bright_ct, leg, leg_with_spur
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import TINY_NETWORK, described

from femseg.inference.femora import told_apart
from femseg.inference.shape import shapes_of
from femseg.inference.verdict import EXIT_CODES, Signals, Verdict, verdict
from femseg.networks.vnet import VNet
from femseg.volumes.grid import MaskVolume

MODEL = described(VNet(TINY_NETWORK, 1))
GRAVITY = list(EXIT_CODES)
SURE = {"agreement": 0.99, "surface_entropy_bits": 0.1, "off_edge_share": 0.05, "metal_ml": 0.0}
LEG = leg()
(FIRST, LAST) = np.flatnonzero(LEG.femur_zyx.any(axis=(1, 2)))[[0, -1]].tolist()


def judged(mask: MaskVolume, **signals: float) -> Verdict:
    femora = told_apart(mask, header="right")
    shapes = shapes_of(femora, bright_ct(mask))
    return verdict(Signals(femora=shapes, **(SURE | signals)), femora, MODEL)


def gravity(found: Verdict) -> int:
    return GRAVITY.index(found.word)


def scanned(low: int, high: int) -> MaskVolume:
    """A femur in a scan of these slices."""
    femur_zyx = LEG.femur_zyx[low:high].copy()
    return MaskVolume(femur_zyx=femur_zyx, grid=replace(LEG.grid, shape_zyx=femur_zyx.shape))


@st.composite
def masks(draw: st.DrawFn) -> MaskVolume:
    """A part of a scan of a femur, and of the femur in it: what is missing is missed, not cut off."""
    low = draw(st.integers(0, LAST - 10))
    mask = scanned(low, draw(st.integers(low + 10, LEG.grid.shape_zyx[0])))
    if draw(st.booleans()):
        missed = draw(st.integers(0, mask.grid.shape_zyx[0]))
        mask.femur_zyx[:missed] = False
    return mask


@given(masks(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_piece_far_from_a_larger_one_never_improves_a_verdict(mask, data):
    more = replace(mask, femur_zyx=mask.femur_zyx.copy())
    z, y, x = (data.draw(st.integers(0, n - 1)) for n in mask.grid.shape_zyx)
    size = data.draw(st.integers(1, 8))
    more.femur_zyx[z : z + size // 2 + 1, y : y + size, x : x + size] = True
    added = np.count_nonzero(more.femur_zyx) - np.count_nonzero(mask.femur_zyx)
    apart = len(told_apart(more).by_side) > len(told_apart(mask).by_side) or added == size**2 * (size // 2 + 1)
    if 2 * added < np.count_nonzero(mask.femur_zyx) and apart:
        assert gravity(judged(more)) >= gravity(judged(mask))


@given(masks(), st.sampled_from([("agreement", -1.0), *((name, 1.0) for name in [*SURE][1:])]), st.floats(0.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_a_worse_signal_never_improves_a_verdict(mask, signal, by):
    name, sign = signal
    before, after = judged(mask), judged(mask, **{name: SURE[name] + sign * by})
    assert gravity(after) >= gravity(before)
    if before.expected_dice is not None and after.expected_dice is not None:
        assert after.expected_dice <= before.expected_dice
    for found in (before, after):
        assert bool(found.reasons) == (found.word != "usable")
        assert (found.expected_dice is None) == (found.word == "reject")
        assert found.expected_dice is None or 0.0 <= found.expected_dice <= 1.0


@given(st.lists(st.floats(0.0, 20.0), min_size=2, max_size=2).map(sorted))
@settings(max_examples=15, deadline=None)
def test_more_bone_on_the_head_never_improves_a_verdict(radii_mm):
    less, more = (judged(leg_with_spur(radius)) for radius in radii_mm)
    assert gravity(more) >= gravity(less)
    for found, radius in zip((less, more), radii_mm, strict=True):
        assert any("stick out of the head of the right femur" in reason for reason in found.reasons) or radius < 10.0


@given(st.integers(8, LAST - FIRST - 5), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_femur_that_the_scan_cuts_off_at_one_end_is_not_rejected_for_what_is_left_of_it(slices, hip):
    mask = scanned(LAST - slices, LEG.grid.shape_zyx[0]) if hip else scanned(0, FIRST + slices)
    assert judged(mask).word != "reject"
