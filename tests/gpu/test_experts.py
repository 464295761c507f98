"""A layer of experts on a GPU gives what it gives on the CPU, by each way of multiplying."""

import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.training.experts import products

pytestmark = pytest.mark.gpu
WAYS = {"as a batch": (10**9, 10**9), "grouped or in turn": (0, 0)}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    tiny, filled = WAYS[request.param]
    monkeypatch.setattr(products, "TINY", tiny)
    monkeypatch.setattr(products, "MOST_FILLED", filled)


@pytest.mark.parametrize(
    ("router", "k"), [("softmax", 2), ("switch", 1), ("sigmoid", 3), ("softmax", 8)]
)
@pytest.mark.parametrize("capacity", [None, 0.0, 0.8])
def test_output_routing_and_gradients_are_the_cpus(device, way, router, k, capacity):
    torch.manual_seed(0)
    here = lab.MixtureOfExperts(16, 24, 8, k, router, capacity).double()
    there = lab.MixtureOfExperts(16, 24, 8, k, router, capacity).double().to(device)
    there.load_state_dict(here.state_dict())
    tokens = torch.randn(3, 40, 16, dtype=torch.float64, requires_grad=True)
    given = tokens.detach().to(device).requires_grad_()
    (output, routing), (found, routed) = here(tokens), there(given)
    assert found.device.type == device.type
    torch.testing.assert_close(found.cpu(), output, rtol=1e-10, atol=1e-10)
    assert torch.equal(routed.choices.cpu(), routing.choices)
    assert torch.equal(routed.dropped.cpu(), routing.dropped)
    if capacity != 0:
        output.square().sum().backward()
        found.square().sum().backward()
        for mine, theirs in zip(there.parameters(), here.parameters()):
            torch.testing.assert_close(mine.grad.cpu(), theirs.grad, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(given.grad.cpu(), tokens.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("capacity", [None, 0.0, 0.8])
def test_half_precision_stays_near_single(device, way, capacity):
    torch.manual_seed(0)
    half = lab.MixtureOfExperts(64, 128, 8, 2, capacity=capacity).to(device).bfloat16()
    exact = lab.MixtureOfExperts(64, 128, 8, 2, capacity=capacity).to(device)
    exact.load_state_dict(half.state_dict())  # the very weights, so that choices are the same
    tokens = torch.randn(1, 256, 64, device=device).bfloat16().requires_grad_()
    same = tokens.detach().float().requires_grad_()
    found, wanted = half(tokens)[0], exact(same)[0]
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.01)
    if capacity != 0:
        found.float().square().sum().backward()
        wanted.square().sum().backward()
        pairs = [(tokens, same), *zip(half.parameters(), exact.parameters())]
        for mine, theirs in pairs:
            off = (mine.grad.float() - theirs.grad).norm() / theirs.grad.norm()
            assert off < 0.03


def test_balance_is_kept_on_the_gpu(device):
    torch.manual_seed(0)
    layer = lab.MixtureOfExperts(16, 24, 4, 2, "sigmoid").to(device)
    _, routing = layer(torch.randn(1, 64, 16, device=device))
    layer.rebalance(routing, 0.1)
    assert layer.bias.device.type == device.type and layer.bias.abs().max() > 0
    assert lab.balance_loss([routing]).device.type == device.type
