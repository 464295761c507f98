"""Token-level boosting: its formulas, its rounds by definition, the training, and refusals."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.together import boosting
from ensemble_lab.tokens.together.boosting import boost_tokens, expert_weight, reweighted
from ensemble_lab.tokens.together.combinations import Averaging
from ensemble_lab.tokens.together.combined import CombinedModel
from ensemble_lab.tokens.together.judging import padded, token_score
from ensemble_lab.training.boosting.adaboost import stage_weight
from tests.support.toy_lm import NO_WORDS, mutant, network, toy

QUICK = {"steps": 6, "rate": 0.02, "progress": False}


def texts_of(n=24, length=10):
    """What a larger toy writes, some of it shorter."""
    prompts = [[i % 6, i // 6 % 6] for i in range(n)]
    made = decode(toy(0), prompts, max_new_tokens=length, temperature=0.5, seed=1)
    return [p + list(m.tokens)[: length - i % 3] for i, (p, m) in enumerate(zip(prompts, made))]


def weak():
    return toy(1, layers=1, hidden=8)


# The formulas


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 1), st.booleans()), min_size=2, max_size=9),
       st.floats(0.05, 0.95))  # fmt: skip
def test_an_expert_is_as_wrong_as_the_baseline_under_the_next_weights(rows, baseline):
    weights = torch.tensor([w for w, _ in rows], dtype=torch.float64)
    weights, wrong = weights / weights.sum(), torch.tensor([x for _, x in rows])
    error = float(weights[wrong].sum())
    if not 0.001 < error < 0.999:
        return
    after = reweighted(weights, wrong, expert_weight(error, baseline, 10**6))
    assert float(after.sum()) == pytest.approx(1)
    assert float(after[wrong].sum()) == pytest.approx(baseline)
    right = after[~wrong] / weights[~wrong]
    assert right.max() == pytest.approx(float(right.min()))


def test_the_weight_by_hand():
    assert expert_weight(0.2, 0.5, 100) == pytest.approx(math.log(4))
    assert expert_weight(0.3, 0.3, 100) == pytest.approx(0)
    assert expert_weight(0.4, 0.3, 100) < 0 < expert_weight(0.2, 0.3, 100)
    for k in (2, 6, 50_000):  # guessing as the baseline: multi-class AdaBoost
        assert expert_weight(0.4, 1 - 1 / k, 10**7) == pytest.approx(stage_weight(0.4, k))
    assert expert_weight(0, 0.5, 100) == pytest.approx(math.log(0.995 / 0.005))


def test_scores_are_those_of_every_text_alone():
    texts, model = texts_of(), weak()
    wrong, loss = [], []
    for text in texts:
        for i in range(1, len(text)):
            with torch.inference_mode():
                scores = model.model(torch.tensor([text[:i]])).logits[0, -1].log_softmax(-1)
            wrong.append(int(scores.argmax()) != text[i])
            loss.append(-float(scores[text[i]]))
    found = token_score(model, texts)
    assert found == pytest.approx((np.mean(wrong), np.mean(loss), len(loss)))
    pairs = ([model, model], None), ([model, toy(0)], (1, 0))
    for same in (CombinedModel(models, Averaging(weights)) for models, weights in pairs):
        assert token_score(same, texts) == pytest.approx(found)
    assert token_score(model, texts[0]).tokens == len(texts[0]) - 1


# The rounds


def test_the_rounds_by_definition():
    texts, base = texts_of(), weak()
    before = copy.deepcopy(base.model.state_dict())
    made = boost_tokens(base, texts, rounds=3, **QUICK)
    assert len(made.experts) >= 2
    rows, known = padded(base, texts)

    def missed(model):
        with torch.inference_mode():
            return (model.model(rows).logits[:, :-1].argmax(-1) != rows[:, 1:])[known].numpy()

    share = np.full(int(known.sum()), 1 / int(known.sum()))
    assert made.baseline == pytest.approx(missed(base).mean())
    for expert, alpha, error in zip(made.experts, made.weights, made.errors):
        wrong = missed(expert)
        assert error == pytest.approx(share[wrong].sum()) and error < made.baseline
        odds = (1 - error) / error * made.baseline / (1 - made.baseline)
        assert alpha == pytest.approx(math.log(odds))
        share = share * np.where(wrong, odds, 1)
        share /= share.sum()
        assert share[wrong].sum() == pytest.approx(made.baseline)
    for name, weight in base.model.state_dict().items():
        assert torch.equal(weight, before[name])
    # The text of all experts
    with torch.inference_mode():
        p = sum(a * x.model(rows).logits.softmax(-1) for a, x in zip(made.weights, made.experts))
        mixed = made.combined().model(rows).logits.exp()
    assert torch.allclose(p / sum(made.weights), mixed)


def test_the_first_expert_is_trained_on_all_tokens_alike():
    texts = texts_of()
    one = boost_tokens(weak(), texts, rounds=1, **QUICK)
    three = boost_tokens(weak(), texts, rounds=3, **QUICK)
    for a, b in zip(one.experts[0].model.parameters(), three.experts[0].model.parameters()):
        assert torch.equal(a, b)
    text = decode(one.experts[0], [1, 2], max_new_tokens=8).tokens
    assert decode(one.combined(), [1, 2], "lookup", max_new_tokens=8).tokens == text
    assert token_score(one.experts[0], texts).loss < token_score(weak(), texts).loss
    assert token_score(one.experts[0], texts).error == pytest.approx(one.errors[0])


def trained(weights, steps=2):
    texts, base = texts_of(6, 5), weak()
    rows, known = padded(base, texts)
    given = known.double() / known.sum() if weights is None else weights(known)
    bar = type("Bar", (), {"update": lambda self: None})()
    how = steps, 3, 0.01, torch.Generator().manual_seed(4), bar
    return boosting._trained(base, rows, given, *how), rows, known, given


def by_hand(rows, weights, steps=2):
    """The same steps with one token after the other in the loss."""
    model = copy.deepcopy(weak().model)
    adam = torch.optim.AdamW(model.parameters(), 0.01)
    generator = torch.Generator().manual_seed(4)
    mean = weights[weights > 0].mean()
    for _ in range(steps):
        some = torch.randint(len(rows), (3,), generator=generator).tolist()
        loss, n = 0.0, 0
        for i in some:
            logits = model(rows[i : i + 1]).logits[0]
            for t in range(rows.shape[1] - 1):
                if weights[i, t] > 0:
                    loss -= weights[i, t] / mean * logits[t].log_softmax(-1)[rows[i, t + 1]]
                    n += 1
        adam.zero_grad()
        (loss / n).backward()
        adam.step()
    return model


def uneven(known):
    weights = known * torch.linspace(0.1, 3, known.numel()).reshape(known.shape).double()
    return weights / weights.sum()


@pytest.mark.parametrize("weights", [None, uneven])
def test_steps_are_down_the_weighted_loss(weights):
    found, rows, _, given = trained(weights)
    right = by_hand(rows, given)
    for a, b in zip(found.parameters(), right.parameters()):
        assert torch.allclose(a, b, atol=1e-9)


def test_planted_faults_are_seen():
    _, rows, _, given = trained(uneven)
    right = by_hand(rows, given)
    for old, new in (("losses * share[some].flatten()", "losses * (share[some] > 0).flatten()"),
                     ("rows[some, 1:].flatten()", "rows[some, :-1].flatten()")):  # fmt: skip
        wrong = mutant(boosting._trained, old, new)
        bar = type("Bar", (), {"update": lambda self: None})()
        made = wrong(weak(), rows, given, 2, 3, 0.01, torch.Generator().manual_seed(4), bar)
        pairs = zip(made.parameters(), right.parameters())
        assert any(not torch.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_an_interrupt_keeps_the_finished_experts(monkeypatch):
    calls, train = [], boosting._trained

    def interrupted(*given):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*given)

    monkeypatch.setattr(boosting, "_trained", interrupted)
    made = boost_tokens(weak(), texts_of(), rounds=3, **QUICK)
    assert len(made.experts) == len(made.weights) == 1


# What is refused


def test_what_is_refused():
    texts = texts_of(6)
    for name in ("rounds", "steps", "batch"):
        with pytest.raises(ValueError, match=f"{name}=0 trains nothing"):
            boost_tokens(weak(), texts, **{name: 0})
    for rate in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="rate="):
            boost_tokens(weak(), texts, rate=rate)
    with pytest.raises(ModelError, match="text 2 of 1 tokens gives no token to predict"):
        boost_tokens(weak(), [[1, 2], [3]])
    short = LanguageModel(network(3, max_position_embeddings=8), NO_WORDS, "short")
    with pytest.raises(ModelError, match="text 1 of 9 tokens exceeds the 8 tokens"):
        token_score(short, [[1] * 9])
    with pytest.raises(ModelError, match="base is a CombinedModel"):
        boost_tokens(CombinedModel([weak()], Averaging()), texts)
    greedy = [[1, *decode(weak(), [1], max_new_tokens=5).tokens]]
    with pytest.raises(ValueError, match="names all 5 tokens: nothing to learn"):
        boost_tokens(weak(), greedy)
    with pytest.raises(ValueError, match="no expert is better than the model before training"):
        boost_tokens(weak(), texts, steps=1, rate=1e-12, progress=False)
    broken = LanguageModel(network(3), NO_WORDS, "the broken one")
    broken.model.lm_head.weight.data[2] = math.nan
    for call in (token_score, boost_tokens):
        with pytest.raises(ModelError, match="the broken one"):
            call(broken, texts)
    with pytest.raises(ModelError, match="NaN or infinite"):
        boost_tokens(weak(), texts, rate=1e30, steps=3, progress=False)
