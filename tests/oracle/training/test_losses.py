import pytest
import torch

from femseg.training.losses import soft_dice_loss


@pytest.mark.parametrize("denominator", ["squared", "linear"])
def test_soft_dice_loss_and_its_gradient_match_monai(denominator):
    from monai.losses import DiceLoss

    generator = torch.Generator().manual_seed(0)
    ours = torch.rand(3, 6, 5, 4, generator=generator, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    target = (torch.rand(3, 6, 5, 4, generator=generator) > 0.6).float()
    loss = soft_dice_loss(ours, target, denominator=denominator)
    peer = DiceLoss(squared_pred=denominator == "squared", smooth_nr=1e-5, smooth_dr=1e-5)
    expected = peer(theirs[:, None], target[:, None])
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)
