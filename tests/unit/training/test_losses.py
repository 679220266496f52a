import pytest
import torch

from femseg.training.losses import segmentation_loss, soft_dice_loss


@pytest.mark.parametrize(("denominator", "expected"), [("squared", 1 - 2 * 1.5 / (1.25 + 4)), ("linear", 1 - 3 / 5.5)])
def test_the_loss_is_the_one_computed_by_hand(denominator, expected):
    target = torch.ones(1, 1, 2, 2)
    foreground = torch.tensor([1.0, 0.5, 0.0, 0.0]).reshape(1, 1, 2, 2)
    loss = soft_dice_loss(foreground, target, denominator=denominator)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_samples_are_averaged_not_pooled():
    target = torch.zeros(2, 1, 1, 4)
    target[0, ..., :1], target[1] = 1, 1
    foreground = target.clone()
    foreground[0] = 0  # the small one is missed wholly
    assert soft_dice_loss(foreground, target).item() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("denominator", ["squared", "linear"])
@pytest.mark.parametrize("value", [0.0, 0.5], ids=["TR-10 both empty", "TR-10 target empty"])
def test_empty_masks_give_a_finite_loss_and_gradient(denominator, value):
    foreground = torch.full((1, 2, 2, 2), value, requires_grad=True)
    loss = soft_dice_loss(foreground, torch.zeros(1, 2, 2, 2), denominator=denominator)
    loss.backward()
    assert loss.item() == pytest.approx(0.0 if value == 0 else 1.0, abs=1e-4)
    assert torch.isfinite(foreground.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["TR-10 float16", "TR-10 bfloat16"])
def test_sums_are_float32_whatever_the_input_and_autocast_say(dtype):
    ones = torch.ones(1, 64, 64, 64, dtype=dtype)  # 262 144 voxels: beyond float16, and beyond bfloat16's integers
    with torch.autocast("cpu", dtype=dtype):
        loss = soft_dice_loss(ones, ones)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 4, 4, 4), (2, 4, 4, 4), (1, 4, 4, 1)])
def test_shapes_that_would_broadcast_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected probability and target of one shape"):
        soft_dice_loss(torch.ones(1, 4, 4, 4), torch.ones(shape))


def test_an_unknown_denominator_is_refused_by_name():
    with pytest.raises(ValueError, match="denominator: expected 'squared' or 'linear', got 'cubic'"):
        soft_dice_loss(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), denominator="cubic")


def test_dice_and_cross_entropy_is_the_sum_of_both():
    logits = torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    target = (torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    cross_entropy = torch.nn.functional.cross_entropy(logits, target.long())
    dice = segmentation_loss(logits, target, denominator="squared")
    both = segmentation_loss(logits, target, loss="dice_ce", denominator="squared")
    assert both.item() == pytest.approx(dice.item() + cross_entropy.item(), rel=1e-5)


def test_coarser_logits_weigh_half_and_are_held_against_the_share_of_femur():
    target = torch.zeros(1, 4, 4, 4)
    target[:, :2] = 1
    sure = 40.0 * torch.stack([-(2 * target - 1), 2 * target - 1], dim=1)
    coarse = sure[:, :, ::2, ::2, ::2]
    assert segmentation_loss([sure, coarse], target, denominator="squared").item() == pytest.approx(0.0, abs=1e-5)
    wrong = segmentation_loss([sure, -coarse], target, denominator="squared").item()
    assert wrong == pytest.approx(0.5 / 1.5, abs=1e-4)  # of the two losses, 0 and 1, the coarser one weighs half
