"""The checks of notebook 16 refuse what people get wrong, written in other ways than theirs."""

import numpy as np
import pytest

from ensemble_lab.exercises.experts import check_balance, check_mixture


def token_by_token(logits, outputs, k, chance=None, pick=None, total=None, use=None):
    """The exercise with loops; each part may be exchanged."""
    rows = []
    for token, said in zip(logits, outputs, strict=True):
        p = np.exp(token) / sum(np.exp(token)) if chance is None else chance(token)
        order = sorted(range(len(token)), key=lambda e: -token[e])
        chosen = order[:k] if pick is None else pick(order, k)
        whole = sum(p[e] for e in chosen) if total is None else total(p, chosen)
        rows.append(sum(p[e] / whole * said[e if use is None else use(e, chosen)] for e in chosen))
    return np.array(rows)


def by_the_layer(logits, outputs, k):
    """The package's router."""
    torch = pytest.importorskip("torch")
    from ensemble_lab.training.experts.routing import softmax_router

    _, choices, weights = softmax_router(torch.tensor(logits), k, None)
    found = np.take_along_axis(outputs, choices.numpy()[:, :, None], 1)
    return (weights.numpy()[:, :, None] * found).sum(1)


def softmax_of_the_chosen(logits, outputs, k):
    """The softmax of the k logits alone is the same."""
    cut = np.sort(logits, axis=1)[:, [-k]]
    p = np.exp(np.where(logits < cut, -np.inf, logits))
    return np.einsum("te,ted->td", p / p.sum(1, keepdims=True), outputs)


def test_other_right_mixtures_pass():
    for right in (token_by_token, by_the_layer, softmax_of_the_chosen):
        assert check_mixture(right), right


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *c: token_by_token(*c, total=lambda p, chosen: 1.0), "are left out?"),
        (lambda *c: token_by_token(*c, pick=lambda order, k: order), "does a token use?"),
        (lambda *c: token_by_token(*c, pick=lambda order, k: order[:1]), "best expert alone"),
        (lambda *c: token_by_token(*c, pick=lambda order, k: order[-k:]), "with the lowest?"),
        (lambda *c: token_by_token(*c, chance=lambda t: [1.0] * len(t)), "count alike?"),
        (lambda *c: token_by_token(*c, chance=lambda t: t), "Are logits weights?"),
        (lambda *c: token_by_token(*c, chance=lambda t: 1 / (1 + np.exp(-t))), "a sigmoid"),
        (lambda x, o, k: token_by_token(np.log(np.exp(x) / np.exp(x).sum(0)), o, k), ""),
        (lambda *c: token_by_token(*c, use=lambda e, chosen: chosen.index(e)), "the first k"),
        (lambda *c: token_by_token(*c, use=lambda e, ch: sorted(ch)[ch.index(e)]), "own expert?"),
        (lambda *c: token_by_token(*c) / c[2], "divided once more?"),
        (lambda x, o, k: o.mean(1), "for 3 tokens and 4 experts"),
        (lambda *c: token_by_token(*c)[0], "3 times 2 numbers"),
    ],
)
def test_wrong_mixtures_are_refused_with_their_hint(wrong, hint):
    verdict = check_mixture(wrong)
    assert not verdict and hint in verdict.message


# -- balance ------------------------------------------------------------------------------------


def by_the_package(probabilities, choices):
    torch = pytest.importorskip("torch")
    from ensemble_lab.training.experts.losses import balance_loss
    from ensemble_lab.training.experts.routing import Routing

    rows = zip(torch.tensor(probabilities), torch.tensor(choices), strict=True)
    none = torch.zeros(1)
    return float(balance_loss([Routing(p, p, c, none, none) for p, c in rows]))


def by_counting(p, c, each=lambda loss, experts, k: experts * loss, together=np.mean):
    """The exercise with loops."""
    layers = []
    for chance, choices in zip(p, c, strict=True):
        tokens, experts = chance.shape
        loss = 0.0
        for e in range(experts):
            f = sum(e in row for row in choices.tolist()) / choices.size
            loss += f * sum(row[e] for row in chance.tolist()) / tokens
        layers.append(each(loss, experts, choices.shape[1]))
    return float(together(layers))


def pooled(p, c):
    """All layers as one long layer, as in transformers but for its factor k."""
    return by_counting(p.reshape(1, -1, p.shape[2]), c.reshape(1, -1, c.shape[2]))


def test_other_right_losses_pass():
    assert check_balance(by_the_package) and check_balance(by_counting)


def test_two_collapsed_layers_are_among_the_cases():
    p, c = next(iter(check_balance.cases()))
    assert by_counting(p, c) == 2 and pooled(p, c) == 1


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (pooled, "Two layers each use one expert"),
        (lambda p, c: pooled(p, c) * c.shape[2], "as transformers does"),
        (lambda p, c: by_counting(p, c, lambda loss, E, k: E * k * loss), "of all choices?"),
        (lambda p, c: by_counting(p, c, together=sum), "or their mean?"),
        (lambda p, c: by_counting(p, c, lambda loss, E, k: loss), "Which factor"),
        (lambda p, c: by_counting(p, c[..., :1]), "all of its choices?"),
        (lambda p, c: by_counting(p, c, lambda loss, E, k: loss / E), "over the experts"),
        (lambda p, c: by_counting(p[:1], c[:1]), "How many layers"),
        (lambda p, c: p.shape[2] * (p.mean(1) ** 2).sum(1).mean(), "choices come in?"),
        (lambda p, c: by_counting(p, c, together=max), "for 2 layers"),
        (lambda p, c: 1.0, "for 2 layers of 2 experts and 4 tokens, the loss"),
        (lambda p, c: p.mean(1), "one number"),
    ],
)
def test_wrong_losses_are_refused_with_their_hint(wrong, hint):
    verdict = check_balance(wrong)
    assert not verdict and hint in " ".join((verdict.message, *verdict.more)), verdict.message
