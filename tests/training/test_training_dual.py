"""Two models inside one: exact identities, references in torch, brute force, and digits' halves."""

import math
from functools import partial
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import ensemble_lab as lab

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

from ensemble_lab.training.dual.contrastive import in_batch  # noqa: E402
from ensemble_lab.training.dual.towers import Towers  # noqa: E402
from ensemble_lab.training.submodels.losses import joint_loss  # noqa: E402


def cosines(B, seed=0, d=3):
    torch.manual_seed(seed)
    a, b = (F.normalize(torch.randn(B, d, dtype=torch.float64), dim=-1) for _ in range(2))
    return a @ b.T


# -- the contrastive loss and recall ------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(B=st.integers(2, 40), score=st.floats(-1, 1), temperature=st.floats(0.01, 10))
def test_equal_scores_cost_log_B(B, score, temperature):
    scores = torch.full((B, B), score, dtype=torch.float64)
    for symmetric in (False, True):
        found = lab.contrastive_loss(scores, temperature, symmetric=symmetric)
        assert math.isclose(found, math.log(B), rel_tol=1e-15)


@settings(max_examples=30, deadline=None)
@given(B=st.integers(2, 9), seed=st.integers(0, 99))
def test_it_is_the_cross_entropy_with_the_diagonal(B, seed):
    """As sentence-transformers has it: scale 20; CLIP takes the mean of both directions."""
    scores, own = cosines(B, seed), torch.arange(B)
    rows, columns = (F.cross_entropy(20 * s, own) for s in (scores, scores.T))
    assert torch.isclose(lab.contrastive_loss(scores), rows, rtol=1e-12)
    assert torch.isclose(
        lab.contrastive_loss(scores, symmetric=True), (rows + columns) / 2, rtol=1e-12
    )
    order = torch.randperm(B)
    assert torch.isclose(lab.contrastive_loss(scores[order][:, order]), rows, rtol=1e-12)


def test_two_pairs_by_hand():
    # Row 1: log(1 + e^(0.5 - 1)) = 0.474077; row 2: log(1 + e^(0 - 0.25)) = 0.575939.
    found = lab.contrastive_loss([[1.0, 0.5], [0.0, 0.25]], temperature=1)
    assert math.isclose(found, (0.474076984 + 0.575939418) / 2, rel_tol=1e-6)
    assert lab.contrastive_loss(np.eye(2, dtype=int), 1).item() == pytest.approx(0.313261688)


@settings(max_examples=20, deadline=None)
@given(classes=st.lists(st.sampled_from("abc"), min_size=2, max_size=8), seed=st.integers(0, 9))
def test_negatives_of_the_same_class_are_left_out(classes, seed):
    if len(set(classes)) < 2:
        return
    scores, B = cosines(len(classes), seed), len(classes)
    each = []
    for i in range(B):
        kept = [j for j in range(B) if j == i or classes[j] != classes[i]]
        each.append(sum(math.exp((scores[i, j] - scores[i, i]) / 0.2) for j in kept))
    expected = np.log(each).mean()
    assert math.isclose(lab.contrastive_loss(scores, 0.2, classes=classes), expected, rel_tol=1e-10)


def test_the_loss_of_the_networks_is_the_public_one():
    torch.manual_seed(0)
    outputs = F.normalize(torch.randn(3, 6, 2, 4), dim=-1).flatten(2)  # (m, B, 2 d)
    targets = torch.tensor([0, 1, 1, 0, 2, 1]).expand(3, 6)
    for leave_out, symmetric in ((False, False), (True, True), (True, False)):
        found = in_batch(outputs, targets, torch.ones(3, 6), temperature=0.1,
                         leave_out=leave_out, symmetric=symmetric)  # fmt: skip
        first, second = outputs.chunk(2, -1)
        classes = targets[0] if leave_out else None
        public = lab.contrastive_loss(first @ second.mT, 0.1, classes=classes, symmetric=symmetric)
        assert torch.allclose(found, public, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.data())
def test_recall_is_the_mean_over_all_orders_of_equal_scores(n, data):
    row = st.lists(st.integers(0, 2), min_size=n, max_size=n)
    scores = np.array(data.draw(st.lists(row, min_size=n, max_size=n)))
    for k in range(1, n + 1):
        hits = []
        for i in range(n):
            for order in permutations(range(n)):
                ranked = sorted(order, key=lambda j, i=i: -scores[i, j])  # stable: ties as `order`
                hits.append(i in ranked[:k])
        assert math.isclose(lab.recall_at_k(scores, k), np.mean(hits))


def test_recall_of_equal_scores_is_chance_and_of_partners_is_one():
    assert lab.recall_at_k(np.zeros((100, 100))) == pytest.approx(0.01)
    assert lab.recall_at_k(np.zeros((100, 100)), 5) == pytest.approx(0.05)
    assert lab.recall_at_k(torch.eye(4)) == 1 and lab.recall_at_k(-torch.eye(4), 3) == 0
    assert lab.recall_at_k(np.stack([np.eye(3), -np.eye(3)])).tolist() == [1, 0]


# -- dual encoders ------------------------------------------------------------------------------


def halves():
    digits = load_digits()
    left, right = (part.reshape(-1, 32) / 16 for part in np.split(digits.images, 2, axis=2))
    return left, right, digits.target


def test_halves_of_digits_find_each_other():
    left, right, _ = halves()
    learned, held = slice(0, 600), slice(1000, 1100)
    encoder = lab.DualEncoder(members=3, epochs=12, random_state=0)
    encoder.fit(left[learned], right[learned])
    found = encoder.recall(left[held], right[held])
    chance = lab.DualEncoder(members=3, epochs=1, learning_rate=1e-9, random_state=0)
    before = chance.fit(left[learned], right[learned]).recall(left[held], right[held])
    assert found.shape == (3,) and found.min() > 0.08 > 0.05 > before.mean()
    assert (np.diff(encoder.members_.losses.mean(1)) < 0).mean() > 0.8
    shuffled = encoder.recall(left[held], np.roll(right[held], 1, axis=0))
    assert shuffled.max() < 0.06  # it is the partners that are found


def test_a_tower_reads_its_own_view():
    left, right, y = halves()
    how = {"width": 8, "hidden": 8, "epochs": 2, "random_state": 3, "members": 2}
    encoder = lab.DualEncoder(**how).fit(left[:80], right[:80, :20])
    a, b = encoder.embed(left[:5], 0), encoder.embed(right[:7, :20], 1)
    assert a.shape == (2, 5, 8) and np.allclose((a**2).sum(-1), 1, atol=1e-6)
    scores = encoder.similarity(left[:5], right[:7, :20])
    assert np.allclose(scores, a @ b.swapaxes(1, 2)) and scores.shape == (2, 5, 7)
    for i in (0, 1):
        member = encoder.members_.module(i)
        assert isinstance(member, Towers)
        with torch.no_grad():
            alone = F.normalize(member.second(torch.tensor(right[:7, :20]).float()), dim=-1)
        assert np.allclose(alone, b[i], atol=1e-6)
    again = lab.DualEncoder(**how).fit(left[:80], right[:80, :20])
    assert np.array_equal(again.similarity(left[:5], right[:7, :20]), scores)
    other = lab.DualEncoder(**how, leave_out_same_class=True)
    other.fit(left[:80], right[:80, :20], y[:80])
    assert not np.allclose(other.similarity(left[:5], right[:7, :20]), scores)


def test_a_dual_encoder_that_diverges_says_so():
    left, right, _ = halves()
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="learning_rate below"):
        lab.DualEncoder(learning_rate=1e38, random_state=0).fit(left[:90], right[:90])


# -- merged encoders and shared trunks ----------------------------------------------------------


def test_merges_by_hand():
    rows = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    for merge in ("concatenate", "sum", "gated"):
        net = lab.TwoEncoders(6, 3, 4, merge, first=2)
        a, b = net.one(rows[:, :2]).tanh(), net.other(rows[:, 2:]).tanh()
        if merge == "concatenate":
            both = torch.cat([a, b], 1)
        elif merge == "sum":
            both = a + b
        else:
            g = net.gate(torch.cat([a, b], 1)).sigmoid()
            both = g * a + (1 - g) * b
            assert (both <= torch.maximum(a, b)).all() and (both >= torch.minimum(a, b)).all()
        assert torch.allclose(net(rows), net.head(both), atol=1e-6)


def test_a_sum_does_not_know_which_view_came_first():
    net = lab.TwoEncoders(6, 3, 4, "sum")
    net.other.load_state_dict(net.one.state_dict())
    rows = torch.randn(5, 6)
    assert torch.allclose(net(rows), net(rows.roll(3, 1)), atol=1e-6)


def test_a_head_learns_from_its_own_loss():
    net = lab.TwoHeads(6, 3, trunk=5, hidden=4)
    first, second = net(torch.randn(7, 6)).chunk(2, -1)
    assert first.shape == (7, 3) == second.shape
    F.cross_entropy(first, torch.zeros(7, dtype=int)).backward()
    assert net.heads[0][0].weight.grad.abs().sum() > 0 == net.heads[1][0].weight.grad.abs().sum()
    assert net.trunk[0].weight.grad.abs().sum() > 0


def test_five_seeds_learn_as_one_batch():
    left, right, y = halves()
    X = np.hstack([left, right])[:400]
    network = lab.NetworkClassifier(
        partial(lab.TwoEncoders, hidden=16, merge="gated"), epochs=20, learning_rate=0.01
    )
    found = network.train(X, y[:400], 10, members=5, seed=0).outputs(X)
    assert ((found.argmax(-1) == y[:400]).mean(-1) > 0.9).all()
    network = lab.NetworkClassifier(partial(lab.TwoHeads, hidden=8), epochs=20)
    loss = partial(joint_loss, shares=[0.5, 0.5])
    found = network.train(X, y[:400], 10, members=2, seed=0, loss=loss).outputs(X)
    for head in np.split(found, 2, -1):
        assert ((head.argmax(-1) == y[:400]).mean(-1) > 0.9).all()


# -- fusion in the decoder ----------------------------------------------------------------------


def fusion(dtype=torch.float64, **how):
    torch.manual_seed(0)
    model = lab.FusionInDecoder(8, 16, **{"heads": 2, "layers": 2} | how).to(dtype)
    return model, torch.randn(2, 4, 3, 8, dtype=dtype), torch.randn(2, 5, 8, dtype=dtype)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_order_of_passages_changes_nothing(dtype, close):
    model, passages, tokens = fusion(dtype)
    whole = model(passages, tokens)
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        assert (model(passages[:, order], tokens) - whole).abs().max() < close
    mixed = passages.flatten(1, 2).roll(1, 1).view(passages.shape)  # tokens change passages
    assert (model(mixed, tokens) - whole).abs().max() > 1e-3


def test_one_passage_is_a_plain_encoder_decoder():
    model, passages, tokens = fusion()
    plain = nn.Transformer(8, 2, 2, 2, 16, dropout=0.0, batch_first=True, norm_first=True).double()
    for ours, theirs in ((model.encoder, plain.encoder), (model.decoder, plain.decoder)):
        theirs.layers.load_state_dict(ours.state_dict())
    plain.encoder.norm.load_state_dict(model.encoder_norm.state_dict())
    plain.decoder.norm.load_state_dict(model.decoder_norm.state_dict())
    mask = plain.generate_square_subsequent_mask(5, dtype=torch.float64)
    expected = plain(passages[:, 0], tokens, tgt_mask=mask)
    assert torch.allclose(model(passages[:, :1], tokens), expected, atol=1e-12)


def test_a_passage_is_encoded_apart_and_padding_is_not_read():
    model, passages, tokens = fusion()
    alone = model.encode(passages[:, 2:3])
    assert torch.allclose(model.encode(passages)[:, 2:3], alone, atol=1e-12)
    listed = model(list(passages.unbind(1)), tokens)
    assert torch.equal(listed, model(passages, tokens))
    padding = torch.zeros(2, 4, 3, dtype=torch.bool)
    padding[:, 1, 2] = padding[:, 3, 1:] = True
    found = model(passages, tokens, padding)
    other = torch.where(padding[..., None], 99.0, passages)
    assert torch.allclose(model(other, tokens, padding), found, atol=1e-12)
    assert not torch.allclose(model(passages, tokens), found, atol=1e-3)


def test_a_token_does_not_see_those_after_it():
    model, passages, tokens = fusion()
    changed = tokens.clone()
    changed[:, 3:] *= -1
    a, b = model(passages, tokens), model(passages, changed)
    assert torch.allclose(a[:, :3], b[:, :3], atol=1e-12) and not torch.allclose(a[:, 3], b[:, 3])


# -- mixtures of transformers -------------------------------------------------------------------

LABELS = torch.tensor([0, 1, 1, 0, 1])


def mixture(modalities=2, **how):
    torch.manual_seed(0)
    settings = {"layers": 2, "heads": 2} | how
    model = lab.MixtureOfTransformers(8, 16, modalities, **settings).double()
    return model, torch.randn(3, 5, 8, dtype=torch.float64)


@pytest.mark.parametrize("causal", [False, True])
def test_equal_weights_are_the_dense_model(causal):
    dense, tokens = mixture(1)
    model = lab.MixtureOfTransformers.from_dense(dense, 3)
    expected = dense(tokens, torch.zeros(5, dtype=int), causal)
    for labels in (LABELS, torch.tensor([2, 0, 1, 1, 2]), torch.randint(3, (3, 5))):
        assert torch.allclose(model(tokens, labels, causal), expected, atol=1e-12)
    parts = model.blocks[0].feed_forward.parts
    with torch.no_grad():
        parts[1][0].weight *= -3
    assert torch.equal(parts[0][0].weight, dense.blocks[0].feed_forward.parts[0][0].weight)
    assert not torch.allclose(model(tokens, LABELS, causal), expected, atol=1e-3)


@pytest.mark.parametrize("causal", [False, True])
def test_the_dense_model_is_that_of_torch(causal):
    dense, tokens = mixture(1)
    states = tokens
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    for block in dense.blocks:
        layer = nn.TransformerEncoderLayer(
            8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64
        )
        (one,), (out,) = block.qkv.parts, block.out.parts
        up, _, down = block.feed_forward.parts[0]
        layer.self_attn.in_proj_weight.data, layer.self_attn.in_proj_bias.data = (
            one.weight,
            one.bias,
        )
        for theirs, ours in ((layer.self_attn.out_proj, out), (layer.linear1, up),
                             (layer.linear2, down), (layer.norm1, block.before_attention.parts[0]),
                             (layer.norm2, block.before_feed_forward.parts[0])):  # fmt: skip
            theirs.load_state_dict(ours.state_dict())
        states = layer(states, src_mask=mask)
    expected = dense.norm.parts[0](states)
    found = dense(tokens, torch.zeros(5, dtype=int), causal)
    assert torch.allclose(found, expected, atol=1e-12)


def test_a_modality_reaches_another_only_by_attention():
    model, tokens = mixture(layers=1)
    first = torch.tensor([0, 0, 0, 1, 1])
    before = model(tokens, first, causal=True)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".parts.1." in name:
                weight += torch.randn_like(weight)
    after = model(tokens, first, causal=True)
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-12)
    assert not torch.allclose(before[:, 3:], after[:, 3:], atol=1e-2)
    assert not torch.allclose(model(tokens, first)[:, :3], before[:, :3], atol=1e-2)


def test_an_absent_modality_learns_nothing():
    model, tokens = mixture()
    model(tokens, torch.zeros(5, dtype=int)).square().sum().backward()
    for name, weight in model.named_parameters():
        moved = weight.grad is not None and bool(weight.grad.abs().sum() > 0)
        assert not (moved and ".parts.1." in name), name
    assert model.blocks[0].qkv.parts[0].weight.grad.abs().sum() > 0


def test_scores_whose_columns_are_in_another_order_are_refused():
    scores = pd.DataFrame([[0.9, 0.1], [0.2, 0.8]], index=["a", "b"], columns=["a", "b"])
    assert lab.recall_at_k(scores) == lab.recall_at_k(scores[["b", "a"]].to_numpy()[::-1]) == 1
    for judge in (lab.recall_at_k, lab.contrastive_loss):
        with pytest.raises(ValueError, match=r"give scores\[scores.index\]"):
            judge(scores[["b", "a"]])


def test_rows_that_a_tower_cannot_hold_are_refused():
    rows = np.random.default_rng(0).normal(size=(6, 2))
    encoder = lab.DualEncoder(2, 16, epochs=1, random_state=0).fit(rows, rows)
    rows[3] = 1e39  # infinite in float32
    with pytest.raises(ValueError, match="up to 1e.39 in row 3"):
        encoder.similarity(rows, rows)


def test_padding_may_hold_anything():
    model, passages, tokens = fusion()
    padding = torch.zeros(2, 4, 3, dtype=torch.bool)
    padding[..., 2:] = True
    empty = torch.where(padding[..., None], math.nan, passages)
    with torch.no_grad():
        assert torch.equal(model(empty, tokens, padding), model(passages, tokens, padding))
    assert empty.isnan().any()  # what was given stays as it is
