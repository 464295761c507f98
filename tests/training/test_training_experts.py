"""A layer of experts: against transformers' block, plain loops and sums by hand.

The last part has one test for each kind of fault that users of other libraries reported.
"""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from ensemble_lab.core.errors import UnknownName  # noqa: E402
from ensemble_lab.training.experts import products  # noqa: E402
from ensemble_lab.training.experts.classifier import ExpertsClassifier  # noqa: E402
from ensemble_lab.training.experts.dense import experts_from_dense  # noqa: E402
from ensemble_lab.training.experts.digits import KINDS, digits_of_four_kinds  # noqa: E402
from ensemble_lab.training.experts.layer import MixtureOfExperts  # noqa: E402
from ensemble_lab.training.experts.losses import (  # noqa: E402
    balance_loss,
    max_violation,
    router_z_loss,
    usage_entropy,
)
from ensemble_lab.training.experts.routing import Routing, overflow, places  # noqa: E402

D, H, E = 8, 12, 4
KINDS_OF_ROUTER = {"softmax": 2, "switch": 1, "sigmoid": 2}


def layer(seed=0, dtype=torch.float64, **settings):
    torch.manual_seed(seed)
    how = {"d_model": D, "hidden": H, "experts": E, "k": 2}
    return MixtureOfExperts(**how | settings).to(dtype)


def some(*shape, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, D, generator=generator, dtype=dtype)


def expert(moe, e, x):
    """One expert's output, written out."""
    gate, up = moe.gate_up[e].chunk(2)
    return (F.silu(x @ gate.T) * (x @ up.T)) @ moe.down[e].T


def by_hand(moe, x, routing):
    """The layer's output (…, T, d) by loops over tokens and choices."""
    flat = [t.flatten(0, -2) for t in (x, routing.choices, routing.weights, routing.dropped)]
    rows = []
    for token, choices, weights, dropped in zip(*flat, strict=True):
        kept = [
            w * expert(moe, e, token)
            for e, w, full in zip(choices, weights, dropped, strict=True)
            if not full
        ]
        rows.append(sum(kept, torch.zeros_like(token)))
    return torch.stack(rows).view(x.shape)


def always(expert, tokens=6, sure=50.0, experts=E):
    """The routing of a router that is sure of one expert for all tokens."""
    logits = torch.zeros(tokens, experts, dtype=torch.float64)
    logits[:, expert] = sure
    return from_logits(logits)


def from_logits(logits, k=1):
    probabilities = logits.softmax(-1)
    weights, choices = probabilities.topk(k)
    return Routing(logits, probabilities, choices, weights, torch.zeros_like(choices).bool())


# -- against transformers, and what the layer must equal ----------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 2, E])
def test_it_equals_mixtrals_block(k, dtype):
    pytest.importorskip("transformers")
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    config = MixtralConfig(
        hidden_size=D, intermediate_size=H, num_local_experts=E, num_experts_per_tok=k
    )
    config._experts_implementation = "eager"
    moe = layer(dtype=dtype, k=k)
    block = MixtralSparseMoeBlock(config).to(dtype)
    with torch.no_grad():
        block.gate.weight.copy_(moe.router)
        block.experts.gate_up_proj.copy_(moe.gate_up)
        block.experts.down_proj.copy_(moe.down)
    x = some(2, 20, dtype=dtype)
    torch.testing.assert_close(moe(x)[0], block(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("capacity", [None, 0.75])
@pytest.mark.parametrize("kind", KINDS_OF_ROUTER)
def test_it_equals_loops_over_tokens_and_choices(kind, capacity):
    moe, x = layer(router=kind, k=KINDS_OF_ROUTER[kind], capacity=capacity), some(2, 9)
    found, routing = moe(x)
    torch.testing.assert_close(found, by_hand(moe, x, routing))
    assert routing.dropped.any() == (capacity is not None)
    torch.testing.assert_close(routing.probabilities.sum(-1), torch.ones(2, 9).double())


def test_with_k_of_all_it_is_the_dense_mixture():
    moe, x = layer(k=E), some(7)
    p = (x @ moe.router.T).softmax(-1)
    dense = sum(p[:, e, None] * expert(moe, e, x) for e in range(E))
    torch.testing.assert_close(moe(x)[0], dense)


@pytest.mark.parametrize("kind", ["softmax", "switch", "sigmoid"])
def test_one_expert_is_the_dense_network(kind):
    moe, x = layer(experts=1, k=1, router=kind), some(7)
    torch.testing.assert_close(moe(x)[0], expert(moe, 0, x))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_copies_of_an_expert_are_that_expert(kind):
    moe, x = layer(router=kind), some(7)
    with torch.no_grad():
        for weights in (moe.gate_up, moe.down):
            weights.copy_(weights[:1].expand_as(weights).clone())
    torch.testing.assert_close(moe(x)[0], expert(moe, 0, x))


@pytest.mark.parametrize("kind", KINDS_OF_ROUTER)
def test_capacity_0_leaves_the_residual_and_much_drops_nothing(kind):
    k, x = KINDS_OF_ROUTER[kind], some(3, 10)
    found, routing = layer(router=kind, k=k, capacity=0)(x)
    assert not found.any() and routing.dropped.all()
    torch.testing.assert_close(x + found, x, atol=0, rtol=0)
    free, _ = layer(router=kind, k=k)(x)
    for much in (E / k, 1e9, math.inf):
        found, routing = layer(router=kind, k=k, capacity=much)(x)
        assert not routing.dropped.any()
        torch.testing.assert_close(found, free, atol=0, rtol=0)


WAYS = {"as_batch": (math.inf, True), "grouped": (0, True), "in_turn": (0, False)}


@pytest.mark.skipif(not products.HAS_GROUPED, reason="grouped_mm is missing here, or not right")
@pytest.mark.parametrize(
    "choices", [[[0, 1], [2, 3]], [[3, 0]] * 5, [[1, 2], [1, 0], [3, 1]], [[E, 2], [E, E], [2, 1]]]
)
def test_all_ways_to_multiply_give_the_same_with_their_gradients(choices, monkeypatch):
    """Experts that nobody chose, and choices that were dropped, included."""
    moe, results = layer(dtype=torch.float32), []
    x = some(len(choices), dtype=torch.float32).requires_grad_()
    weights = torch.rand(len(choices), 2).requires_grad_()
    for way, (filled, fits) in WAYS.items():
        for other in WAYS.keys() - {way}:
            monkeypatch.delattr(products, other)
        monkeypatch.setattr(products, "MOST_FILLED", filled)
        monkeypatch.setattr(products, "fits_grouped", lambda *_, fits=fits: fits)
        found = products.mixed(x, torch.tensor(choices), weights, moe.gate_up, moe.down)
        monkeypatch.undo()
        wanted = [x, weights, moe.gate_up, moe.down]
        results.append([found, *torch.autograd.grad((found**2).sum(), wanted)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b)
    unused = sorted(set(range(E)) - {e for row in choices for e in row})
    assert not any(found[3][unused].any() for found in results)


def test_a_way_is_taken_where_it_serves():
    if products.HAS_GROUPED:
        assert products.fits_grouped(torch.zeros(3, D), torch.zeros(E, D, H))
    assert not products.fits_grouped(torch.zeros(3, D), torch.zeros(E, D, 6))  # rows of 24 bytes
    assert not products.fits_grouped(torch.zeros(3, D).double(), torch.zeros(E, D, H).double())
    for d in (3, 6, 8):
        moe = MixtureOfExperts(d, 5, E, 2)
        for x in (torch.randn(4, d), torch.randn(1, d).expand(9, d)):  # also all to the same two
            torch.testing.assert_close(moe(x)[0], by_hand(moe, x, moe(x)[1]), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS_OF_ROUTER)
def test_gradients_of_the_router_are_finite_differences(kind):
    """The choice does not change under so small a step, so the output is smooth."""
    moe, x = layer(router=kind, k=KINDS_OF_ROUTER[kind]), some(5)
    target = some(5, seed=2)

    def loss():
        return (moe(x)[0] * target).sum()

    loss().backward()
    assert moe.router.grad.abs().max() > 1e-3
    with torch.no_grad():
        for e, j in [(0, 0), (1, 3), (2, 7), (3, 5)]:
            differences = []
            for step in (1e-6, -1e-6):
                moe.router[e, j] += step
                differences.append(loss().item())
                moe.router[e, j] -= step
            slope = (differences[0] - differences[1]) / 2e-6
            assert math.isclose(slope, moe.router.grad[e, j], abs_tol=1e-7)


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(8)), st.sampled_from(sorted(KINDS_OF_ROUTER)))
def test_other_orders_of_tokens_are_other_orders_of_outputs(order, kind):
    moe, x = layer(router=kind, k=KINDS_OF_ROUTER[kind]), some(8)
    torch.testing.assert_close(moe(x[order])[0], moe(x)[0][order])


def test_with_drops_an_output_depends_on_batch_mates():
    """A negative result: with a capacity, a token's output is not its own."""
    moe, x = layer(k=1, router="switch", capacity=0.5), some(12)
    one_by_one = torch.cat([moe(token[None])[0] for token in x])
    together, routing = moe(x)
    dropped = routing.dropped[:, 0]
    assert dropped.any() and not together[dropped].any() and one_by_one[dropped].any(-1).all()
    torch.testing.assert_close(together[~dropped], one_by_one[~dropped])
    backwards = moe(x.flip(0))[0].flip(0)
    assert not torch.allclose(backwards, together)
    # Sequences do not compete with each other.
    both, _ = moe(torch.stack([x, x.flip(0)]))
    torch.testing.assert_close(both, torch.stack([together, backwards.flip(0)]))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.permutations(range(E)), min_size=1, max_size=9), st.integers(1, E), st.data())
def test_choices_are_dropped_in_order(rows, k, data):
    most = data.draw(st.integers(0, len(rows)))
    choices = [row[:k] for row in rows]
    taken, true = [0] * E, [[False] * k for _ in rows]
    for i in range(k):
        for t, row in enumerate(choices):
            true[t][i] = taken[row[i]] >= most
            taken[row[i]] += 1
    assert overflow(torch.tensor(choices), E, most).tolist() == true


def test_places_are_counted():
    assert places(1.1, 10, 1, 1) == 10 and places(0, 10, 2, 4) == 0
    assert places(1.0, 10, 1, 4) == 3  # 2.5, rounded up
    assert places(0.28, 50, 1, 2) == 7  # 0.28 * 50 is 14.000000000000002 in floats
    assert places(math.inf, 5, 2, 4) == 5 and places(1.25, 0, 2, 4) == 0


# -- losses and figures -------------------------------------------------------------------------


def test_balance_is_1_when_even_and_the_number_of_experts_when_collapsed():
    even = from_logits(50.0 * torch.eye(E, dtype=torch.float64).repeat(3, 1))
    assert math.isclose(balance_loss(even), 1)
    assert math.isclose(balance_loss(always(2)), E)
    assert max_violation(even) == 0 and max_violation(always(2)) == E - 1
    assert math.isclose(usage_entropy(even), math.log(E)) and usage_entropy(always(2)) == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(1, E), st.integers(1, 9), st.integers(0, 99))
def test_balance_is_its_sum_by_hand(k, tokens, seed):
    logits = torch.randn(tokens, E, generator=torch.Generator().manual_seed(seed)).double()
    routing = from_logits(logits, k)
    true = 0.0
    for e in range(E):
        f = sum(e in row for row in routing.choices.tolist()) / (k * tokens)
        true += E * f * sum(row[e] for row in routing.probabilities.tolist()) / tokens
    assert math.isclose(balance_loss(routing), true)
    assert routing.counts.sum() == k * tokens
    if k == E:
        assert math.isclose(balance_loss(routing), 1)  # all are always used


def test_layers_that_collapse_on_different_experts_are_not_balanced():
    """Transformers pools layers: two such layers score 1.0 there, which is perfect balance."""
    pytest.importorskip("transformers")
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    collapsed = [always(0, experts=2), always(1, experts=2)]
    logits = tuple(routing.logits for routing in collapsed)
    assert math.isclose(load_balancing_loss_func(logits, 2, 1), 1, rel_tol=1e-6)
    assert math.isclose(load_balancing_loss_func(logits[:1], 2, 1), 2, rel_tol=1e-6)
    assert math.isclose(balance_loss(collapsed), 2)
    # There the loss of one layer is k times ours.
    one = from_logits(torch.randn(9, E, generator=torch.Generator().manual_seed(0)), 2)
    theirs = load_balancing_loss_func((one.logits,), E, 2)
    assert math.isclose(theirs, 2 * balance_loss(one), rel_tol=1e-5)


def test_z_loss_by_hand():
    logits = torch.tensor([[0.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    true = (math.log(2) ** 2 + math.log(math.exp(3) + math.exp(1)) ** 2) / 2
    assert math.isclose(router_z_loss(from_logits(logits)), true)
    assert math.isclose(router_z_loss([from_logits(logits)] * 2), true)


def test_the_bias_moves_by_one_step_towards_balance():
    moe, x = layer(router="sigmoid", k=1), some(20)
    routing = replace(moe(x)[1], choices=torch.tensor([[0]] * 6 + [[1]] * 5 + [[2]] * 9))
    moe.rebalance(routing, 0.5)
    assert moe.bias.tolist() == [-0.5, 0, -0.5, 0.5]  # the mean is 5


def test_the_bias_rule_brings_balance_without_a_gradient():
    moe, x = layer(router="sigmoid", k=1), some(400) + 1.0
    before = max_violation(moe.route(x))
    for _ in range(1000):
        moe.rebalance(moe.route(x))
    assert before > 0.9 and max_violation(moe.route(x)) < 0.1


def test_a_step_on_the_balance_loss_lowers_it():
    moe, x = layer(router="switch", k=1), some(50) + 1.0
    optimiser = torch.optim.SGD([moe.router], 0.1)
    before = max_violation(moe(x)[1])
    for _ in range(100):
        optimiser.zero_grad()
        balance_loss(moe(x)[1]).backward()
        optimiser.step()
    assert before > 1 and max_violation(moe(x)[1]) < 0.5


def test_figures_refuse_what_are_no_counts():
    for wrong in ([], [0, 0], [-1, 2], [math.nan, 1], "ab", None, [[1, 2]]):
        with pytest.raises(ValueError, match="how often each expert was chosen"):
            max_violation(wrong)
    assert max_violation([3, 1]) == 0.5 and max_violation(torch.tensor([1, 1])) == 0


# -- experts out of a dense network -------------------------------------------------------------


def dense(seed=0, hidden=H):
    torch.manual_seed(seed)
    gate, up = torch.randn(2, hidden, D, dtype=torch.float64)
    down = torch.randn(D, hidden, dtype=torch.float64)
    return (gate, up, down), lambda x: (F.silu(x @ gate.T) * (x @ up.T)) @ down.T


@pytest.mark.parametrize("groups", [1, 3, np.arange(H) % 4, [7, 3] * 6])
def test_groups_of_hidden_units_add_up_to_the_dense_network(groups):
    weights, network = dense()
    x = some(9)
    one = experts_from_dense(*weights, groups)
    parts = [expert(one, e, x) for e in range(len(one.down))]
    torch.testing.assert_close(sum(parts), network(x))
    every = experts_from_dense(*weights, groups, k=len(parts))
    torch.testing.assert_close(every(x)[0], network(x))


def test_groups_that_do_not_divide_are_refused():
    weights, _ = dense()
    for wrong in (5, 0, True, 2.5, "3", [0] * 5 + [1] * 7, [0, 1], None):
        with pytest.raises(ValueError, match="group"):
            experts_from_dense(*weights, wrong)
    with pytest.raises(ValueError, match="have the shapes"):
        experts_from_dense(weights[0], weights[1], weights[2].T, 3)


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"k": 5}, "k=5 is above experts=4"),
        ({"k": 0}, "k=0"),
        ({"experts": 0}, "experts=0"),
        ({"experts": True}, "experts=True"),
        ({"hidden": 2.5}, "hidden=2.5"),
        ({"router": "switch"}, "k=2: a switch router uses one expert"),
        ({"router": "hash"}, "no router 'hash'"),
        ({"capacity": -0.5}, "capacity=-0.5"),
        ({"capacity": math.nan}, "capacity=nan"),
        ({"capacity": "1.25"}, "capacity='1.25'"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, words):
    with pytest.raises((ValueError, UnknownName), match=words):
        layer(**setting)


def test_tokens_that_do_not_fit_are_refused():
    moe = layer()
    for wrong in (some(3)[:, :5], some(3)[0], [[0.0] * D], None):
        with pytest.raises(ValueError, match=rf"give a tensor \(…, T, {D}\)"):
            moe(wrong)
    with pytest.raises(ValueError, match="convert one by"):
        moe(some(3).float())
    bad = some(5)
    bad[1, 2], bad[3, 0] = math.nan, math.inf
    with pytest.raises(ValueError, match="logits of 2 tokens are NaN or infinite"):
        moe(bad)


@pytest.mark.parametrize("capacity", [None, 0, 1.0])
def test_one_token_or_none(capacity):
    moe = layer(capacity=capacity)
    assert moe(some(1))[0].shape == (1, D) and moe(some(2, 1))[0].shape == (2, 1, D)
    found, routing = moe(some(0))
    assert found.shape == (0, D) and not routing.counts.any()
    with pytest.raises(ValueError, match="no routing with tokens"):
        balance_loss(routing)


# -- faults that were reported of other libraries -----------------------------------------------


def test_balance_takes_probabilities_once_and_of_all_experts():
    """transformers 28021 and 45120: softmax after the choice, or twice, hides the collapse."""
    sure = always(0, sure=8.0)
    assert balance_loss(sure) > 3.9
    twice = replace(sure, probabilities=sure.probabilities.softmax(-1))
    assert balance_loss(twice) < 2


def test_balance_is_no_constant():
    """transformers 28093: the loss had no gradient."""
    moe, x = layer(), some(20)
    routing = moe(x)[1]
    balance_loss(routing).backward()
    assert moe.router.grad.abs().max() > 1e-4


def test_dense_layers_among_the_routings_are_refused():
    """transformers 39203: None of a dense layer stopped the loss with a raw error."""
    for wrong in ([always(0), None], [], None, torch.zeros(3)):
        for loss in (balance_loss, router_z_loss):
            with pytest.raises(ValueError, match="routing"):
                loss(wrong)


def test_the_bias_is_not_in_the_weights():
    """transformers 41647, vLLM 12002: weights were taken of score + bias."""
    moe, x = layer(router="sigmoid", k=E), some(6)
    plain = moe(x)[0]
    moe.bias += torch.tensor([5.0, 0, -5, 1])
    torch.testing.assert_close(moe(x)[0], plain)  # all are chosen, in another order


def test_a_large_negative_bias_still_chooses_different_experts():
    """DeepSeek-V3 741: experts that were masked by 0 won against negative scores."""
    moe = layer(router="sigmoid", k=2)
    moe.bias += torch.tensor([-9.0, -8, -7, -6])
    assert moe(some(5))[1].choices.tolist() == [[3, 2]] * 5


def test_a_shift_of_all_biases_changes_nothing():
    """torchtitan 1506: whether the mean of the bias has to be kept at 0. It does not."""
    moe, x = layer(router="sigmoid"), some(30)
    moe.bias += torch.tensor([0.25, 0, -0.5, 0.5])
    before = moe(x)[0]
    moe.bias += 8
    torch.testing.assert_close(moe(x)[0], before)


def test_the_bias_keeps_its_format_in_half_precision():
    """vLLM 23640: in bfloat16, steps of 0.001 beside 1 are lost."""
    moe = layer(router="sigmoid", dtype=torch.float32)
    moe.bias += 1
    half = copy.deepcopy(moe).to(torch.bfloat16)
    assert half.bias.dtype == torch.float32 and half.down.dtype == torch.bfloat16
    half.rebalance(replace(half.route(some(4).bfloat16()), choices=torch.tensor([[0], [0]])))
    assert torch.allclose(half.bias, torch.tensor([0.999, 1.001, 1.001, 1.001]))
    assert torch.equal(layer(router="sigmoid").bias, torch.zeros(E))
    reloaded = layer(router="sigmoid")
    reloaded.load_state_dict(half.state_dict())
    assert torch.equal(reloaded.bias, half.bias)


def test_the_router_is_exact_in_half_precision():
    """DeepSpeed 809, torchtitan 2389: a router in bfloat16 decides near-ties by rounding."""
    moe = layer(dtype=torch.float32).to(torch.bfloat16)
    x = some(50).bfloat16()
    found, routing = moe(x)
    assert found.dtype == torch.bfloat16 and routing.logits.dtype == torch.float32
    torch.testing.assert_close(routing.logits, x.float() @ moe.router.float().T)


def test_capacity_above_the_tokens_is_no_error():
    """DeepSpeed 8155: an expert's places exceeded the number of tokens."""
    assert layer(capacity=100.0)(some(2))[0].shape == (2, D)


def test_one_renormalised_choice_teaches_the_router_nothing():
    """davidmrau/mixture-of-experts 27: with k = 1 the gradient is 0, so switch does not divide."""
    for kind, learns in {"softmax": False, "sigmoid": False, "switch": True}.items():
        moe = layer(router=kind, k=1)
        moe(some(6))[0].square().sum().backward()
        assert (moe.router.grad.abs().max() > 1e-6) == learns, kind


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_expert_that_nobody_chose_has_a_gradient_of_0(dtype):
    """PyTorch 172439, tokamax 887: it had another one, or NaN."""
    moe, x = layer(router="sigmoid", dtype=dtype), some(6, dtype=dtype)
    moe.bias += torch.tensor([0.0, 0, -9, -9])
    moe(x)[0].square().sum().backward()
    for weights in (moe.gate_up, moe.down):
        assert not weights.grad[2:].any() and weights.grad[:2].any(-1).any(-1).all()


def test_a_layer_remembers_no_call():
    """megablocks 113: a global list of losses grew with each call."""
    moe, x = layer(router="sigmoid", capacity=1.0), some(6)
    before, kept = copy.deepcopy(moe.state_dict()), x.clone()
    first, again = moe(x)[0], moe(x)[0]
    assert torch.equal(first, again) and torch.equal(x, kept)
    assert all(torch.equal(value, before[name]) for name, value in moe.state_dict().items())


# -- the classifier and its digits --------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    X, y, kinds = digits_of_four_kinds(0)
    return train_test_split(X, y, kinds, random_state=0, stratify=kinds)


def test_digits_are_of_four_kinds():
    X, _, kinds = digits_of_four_kinds(0)
    assert X.shape == (1797, 64) and sorted(np.unique(kinds)) == sorted(KINDS)
    assert max(np.unique(kinds, return_counts=True)[1]) == 450
    images, found = load_digits().images / 16, X.reshape(-1, 8, 8)
    of = {kind: kinds == kind for kind in KINDS}
    assert np.array_equal(found[of["upright"]], images[of["upright"]])
    assert np.array_equal(found[of["rotated"]], [np.rot90(x) for x in images[of["rotated"]]])
    assert np.array_equal(found[of["inverted"]], 1 - images[of["inverted"]])
    noise = (found - images)[of["noisy"]]
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 0.25) < 0.01
    again = digits_of_four_kinds(0)
    assert np.array_equal(X, again[0]) and not np.array_equal(kinds, digits_of_four_kinds(1)[2])


def test_it_learns_and_one_seed_is_one_result(digits):
    X, held, y, truth, _, _ = digits
    model = ExpertsClassifier(epochs=15, random_state=0).fit(X, y)
    assert model.score(held, truth) > 0.75 and model.losses_[-1] < 0.5 * model.losses_[0]
    again = clone(model).fit(X, y)
    assert np.array_equal(model.predict_proba(held), again.predict_proba(held))
    found = model.predict_proba(held)
    assert np.allclose(found.sum(-1), 1) and np.array_equal(
        model.predict(held), model.classes_[found.argmax(-1)]
    )


def test_rows_are_learned_in_a_random_order(digits):
    X, held, y, truth, _, _ = digits
    rows = y.argsort()  # batches of one class would be forgotten by the next
    model = ExpertsClassifier(epochs=4, random_state=0).fit(X[rows], y[rows])
    assert model.score(held, truth) > 0.6


def test_rows_that_find_no_expert_keep_their_residual(digits):
    X, _, y, _, _, _ = digits
    model = ExpertsClassifier(capacity=0, epochs=1, layers=2, random_state=0).fit(X, y)
    rows = torch.as_tensor(X[:5]).float()
    with torch.no_grad():
        found, routings = model.network_(rows)
        assert torch.equal(found, model.network_.head(model.network_.embed(rows)))
    assert all(routing.dropped.all() for routing in routings)


def test_balance_is_learned(digits):
    X, held, y, _, _, _ = digits
    even, free = (
        ExpertsClassifier(balance=weight, epochs=5, random_state=0).fit(X, y).routing(X)
        for weight in (1.0, 0.0)
    )
    assert balance_loss(even) < 1.1 < 1.2 < balance_loss(free)
    how = {"k": 2, "router": "sigmoid", "balance": 0.0, "epochs": 10, "random_state": 0}
    worse = max_violation(ExpertsClassifier(**how).fit(X, y).routing(held)[0])
    moved = ExpertsClassifier(**how, bias_rate=0.01).fit(X, y).routing(held)[0]
    assert max_violation(moved) < 0.5 < worse


def test_with_a_capacity_predictions_depend_on_batch_mates(digits):
    X, held, y, _, _, _ = digits
    free = ExpertsClassifier(epochs=3, random_state=0).fit(X, y)
    tight = ExpertsClassifier(epochs=3, capacity=0.75, random_state=0).fit(X, y)
    for model, differ in {free: False, tight: True}.items():
        together = model.predict_proba(held)
        backwards = model.predict_proba(held[::-1])[::-1]
        assert (np.abs(together - backwards).max() > 0.01) == differ
    assert all(routing.dropped.any() for routing in tight.routing(held))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"k": 2}, "a switch router uses one"),
        ({"experts": 2, "k": 3, "router": "softmax"}, "k=3 is above"),
        ({"layers": 0}, "layers=0"),
        ({"balance": -1}, "balance=-1"),
        ({"z": math.nan}, "z=nan"),
        ({"bias_rate": 0.1}, "has no bias"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"learning_rate": 1e30}, "learning_rate|learning rate"),
    ],
)
def test_the_classifier_refuses_settings_that_cannot_be(digits, setting, words):
    with pytest.raises(ValueError, match=words):
        ExpertsClassifier(**{"epochs": 1, "random_state": 0} | setting).fit(digits[0], digits[2])


def test_layers_and_losses_are_those_asked_for(digits):
    X, held, y, _, _, _ = digits
    model = ExpertsClassifier(experts=3, layers=2, z=0.1, epochs=2, random_state=0).fit(X, y)
    routings = model.routing(held)
    assert [len(routing.counts) for routing in routings] == [3, 3]
    free = clone(model).set_params(z=0.0).fit(X, y)
    assert router_z_loss(routings) < router_z_loss(free.routing(held))
    one = model.set_params(batch_size=1).fit(X[:40], y[:40])  # a batch of one
    assert one.predict(held[:1]).shape == (1,)


@pytest.mark.parametrize("capacity", [None, 0.0, 0.7])
def test_the_way_of_a_gpu_gives_the_same_sums(capacity):
    torch.manual_seed(0)
    layer = MixtureOfExperts(16, 24, 4, 2, capacity=capacity)
    tokens = torch.randn(1, 30, 16)
    output, routing = layer(tokens)
    choices = routing.choices.masked_fill(routing.dropped, 4)[0]
    found = products.without_waiting(
        tokens[0], choices, routing.weights[0], layer.gate_up, layer.down
    )
    torch.testing.assert_close(found, output[0], atol=1e-6, rtol=1e-5)


def test_gradients_of_tokens_pass_choices_that_were_dropped_by():
    torch.manual_seed(0)
    choices = torch.randint(0, 5, (40, 2))  # 4 is no expert
    weights, gate_up, down = torch.rand(40, 2), torch.randn(4, 32, 16), torch.randn(4, 16, 16)
    tokens = torch.randn(40, 16, requires_grad=True)
    ways = products.without_waiting, products.mixed
    found, wanted = (
        torch.autograd.grad(way(tokens, choices, weights, gate_up, down).sum(), tokens)[0]
        for way in ways
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)


def test_the_router_is_exact_under_autocast():
    torch.manual_seed(0)
    layer, tokens = MixtureOfExperts(16, 8, 4, 2), torch.randn(1, 50, 16)
    with torch.autocast("cpu", torch.bfloat16):
        logits = layer(tokens)[1].logits
    assert torch.equal(logits, layer(tokens)[1].logits)


def test_a_switch_router_begins_with_the_groups_themselves():
    torch.manual_seed(0)
    gate, up, down, tokens = *torch.randn(2, 8, 4), torch.randn(4, 8), torch.randn(5, 4)
    outputs = [
        experts_from_dense(gate, up, down, 4, 1, router=router)(tokens)[0]
        for router in ("switch", "softmax")
    ]
    torch.testing.assert_close(*outputs)


def test_a_step_of_the_bias_that_cannot_be_is_refused():
    layer, other = MixtureOfExperts(4, 4, 4, 1, "sigmoid"), MixtureOfExperts(4, 4, 1, 1)
    tokens = torch.randn(3, 4)
    with pytest.raises(ValueError, match="of 1 experts"):
        layer.rebalance(other(tokens)[1])
    with pytest.raises(ValueError, match="rate=nan"):
        layer.rebalance(layer(tokens)[1], float("nan"))


def test_no_tokens_and_infinite_capacity():
    layer = MixtureOfExperts(4, 4, 2, 1, capacity=float("inf"))
    assert layer(torch.zeros(0, 4))[0].shape == (0, 4)
