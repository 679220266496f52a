import pytest
import torch

from femseg.networks.vnet import VNet, VNetSettings


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own making
def test_a_compiled_network_gives_the_answer_and_gradients_of_the_plain_one():
    torch.manual_seed(0)
    network = VNet(VNetSettings(base_channels=4, convolutions_down=(1, 1), convolutions_up=(1,), kernel_size=3), 1)
    network.to(memory_format=torch.channels_last_3d)
    volume, found = torch.rand(1, 1, 8, 8, 8), []
    for compiled in (False, True):
        if compiled:
            network.compile()
        network.zero_grad()
        logits = network(volume)
        logits.square().sum().backward()
        found.append((logits.detach(), [p.grad.clone() for p in network.parameters()]))
    (plain, plain_gradients), (fused, fused_gradients) = found
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)
    for a, b in zip(fused_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
