import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from femseg.training.losses import soft_dice_loss

probabilities = st.lists(st.floats(0, 1, width=32), min_size=8, max_size=8).map(
    lambda v: torch.tensor(v).view(1, 2, 2, 2)
)
masks = st.lists(st.booleans(), min_size=8, max_size=8).map(lambda v: torch.tensor(v).view(1, 2, 2, 2))


@settings(max_examples=50, deadline=None)
@given(probabilities, masks, st.sampled_from(["squared", "linear"]))
def test_the_loss_is_finite_and_between_zero_and_one_on_every_mask(foreground, target, denominator):
    loss = soft_dice_loss(foreground, target, denominator=denominator).item()
    assert -1e-6 <= loss <= 1.0


@settings(max_examples=50, deadline=None)
@given(masks, masks, st.sampled_from(["squared", "linear"]))
def test_on_hard_masks_both_denominators_give_one_minus_dice_and_zero_only_on_equal_masks(a, b, denominator):
    loss = soft_dice_loss(a, b, denominator=denominator).item()
    sizes = int(a.sum() + b.sum())
    expected = 1 - 2 * int((a & b).sum()) / sizes if sizes else 0.0
    assert abs(loss - expected) < 1e-4
    assert (loss < 1e-4) == torch.equal(a, b)
