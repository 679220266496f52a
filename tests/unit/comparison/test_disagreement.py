"""Kinds of disagreement on masks whose error is known, and the laws of their order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from femseg.comparison.disagreement import disagreement, ranked

SPACING = (4.0, 2.0, 2.0)
SHAPE = (24, 32, 40)


def femur() -> np.ndarray:
    """A shaft with a head at one side, off the middle on every axis, so that no mirror image equals it."""
    mask = np.zeros(SHAPE, bool)
    mask[3:16, 12:18, 8:14] = True
    mask[14:19, 10:17, 12:21] = True
    return mask


def found(reference, predicted):
    return disagreement(reference, predicted, SPACING, case_id="case-a", model="raw")


@pytest.mark.parametrize(("axis", "words"), [(0, "head and foot"), (1, "front and back"), (2, "left and right")])
def test_a_mirrored_annotation_is_told_with_its_axis(axis, words):
    said = found(np.flip(femur(), axis), femur())
    assert said.kind == "mirrored"
    assert words in said.words
    assert said.dice_if == 1.0
    assert said.is_label_error


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((0, 0, -5), "10.0 mm to the left"),
        ((0, 4, 0), "8.0 mm to the front"),
        ((2, 0, 3), "8.0 mm to the foot, 6.0 mm to the right"),
    ],
)
def test_a_shifted_annotation_is_told_with_the_way_back(steps, words):
    said = found(np.roll(femur(), steps, (0, 1, 2)), femur())
    assert (said.kind, said.dice_if) == ("shifted", 1.0)
    assert said.words.startswith(f"moved {words}, ")


@pytest.mark.parametrize("steps", [(0, 0, 25), (0, 15, 15)], ids=["50 mm", "30 mm on two axes"])
def test_no_shift_beyond_thirty_millimetres_is_offered(steps):
    small = np.zeros((40, 40, 40), bool)
    small[2:8, 2:8, 2:8] = True
    away = np.roll(small, steps, (0, 1, 2))
    said = disagreement(small, away, (2.0, 2.0, 2.0), case_id="case-a", model="raw")
    assert said.kind == "missing piece"


def test_a_piece_that_is_lacking_is_told_by_who_lacks_it():
    cut = femur()
    cut[:9] = False
    missing, extra = found(femur(), cut), found(cut, femur())
    ml = (femur() & ~cut)[:8].sum() * 16 / 1000  # all but the slice within 4 mm of the rest
    assert missing.kind == "missing piece"
    assert f"{ml:.1f} ml are annotated and not predicted, up to 24 mm away" in missing.words
    assert extra.kind == "extra piece"
    assert not missing.is_label_error


def test_a_thin_shell_is_the_boundary():
    grown = femur()
    grown[3:16, 11:19, 7:15] = True
    said = found(femur(), grown)
    assert said.kind == "boundary"
    assert said.dice_if is None


def test_an_empty_mask_is_told_and_an_empty_annotation_is_a_label_error():
    nothing = np.zeros(SHAPE, bool)
    assert found(femur(), nothing).kind == "nothing predicted"
    assert found(nothing, femur()).kind == "nothing annotated"
    assert [found(femur(), nothing).is_label_error, found(nothing, femur()).is_label_error] == [False, True]


def test_label_errors_come_first_then_the_lower_dice():
    cut = femur()
    cut[:9] = False
    cases = [found(femur(), cut), found(np.flip(femur(), 2), femur()), found(femur(), np.zeros(SHAPE, bool))]
    assert [one.kind for one in ranked(cases)] == ["mirrored", "nothing predicted", "missing piece"]


masks = arrays(np.bool_, (5, 6, 7))


@settings(max_examples=60, deadline=None)
@given(reference=masks, predicted=masks, order=st.permutations(range(4)))
def test_the_same_masks_give_the_same_words_and_the_order_of_cases_does_not_matter(reference, predicted, order):
    first, again = found(reference, predicted), found(reference.copy(), predicted.copy())
    assert first == again
    assert first.dice_if is None or first.dice_if > first.dice
    pairs = [(reference, predicted), (predicted, reference), (reference, reference), (predicted, predicted)]
    cases = [disagreement(*pair, SPACING, case_id=f"case-{n}", model="raw") for n, pair in enumerate(pairs)]
    assert ranked(cases) == ranked([cases[n] for n in order])
