"""Checks of notebook 16: a mixture by hand, and the balance loss layer by layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, softmax

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: the mixture -----------------------------------------------------------------------------


def _normalised(scores) -> np.ndarray:
    return scores / scores.sum(1, keepdims=True)


def _mixed(
    weigh: Callable = lambda logits: softmax(logits, axis=1),
    keep: Callable = lambda logits, k: np.argsort(-logits, axis=1)[:, :k],
    divide: Callable = _normalised,
    places: Callable = lambda chosen: chosen,
):
    """A mixture with its parts exchanged."""

    def mixture(logits, outputs, k) -> np.ndarray:
        chosen = keep(logits, k)
        weights = divide(np.take_along_axis(weigh(logits), chosen, axis=1))
        found = np.take_along_axis(outputs, places(chosen)[:, :, None], axis=1)
        return (weights[:, :, None] * found).sum(1)

    return mixture


MIXTURE_MISTAKES = (
    (_mixed(divide=lambda weights: weights),
     "What do the weights of the experts of one token add up to when some experts are left out?"),
    (lambda logits, outputs, k: _mixed()(logits, outputs, logits.shape[1]),
     "How many experts does a token use?"),
    (lambda logits, outputs, k: _mixed()(logits, outputs, 1),
     "This takes the best expert alone. How many does a token use?"),
    (_mixed(keep=lambda logits, k: np.argsort(logits, axis=1)[:, :k]),
     "Did you keep the experts with the highest logits, or with the lowest?"),
    (_mixed(weigh=np.ones_like),
     "Do all chosen experts count alike? What says the router?"),
    (_mixed(weigh=lambda logits: logits),
     "Are logits weights? What turns them into positive numbers that add up to 1?"),
    (_mixed(weigh=expit),
     "Which function makes the weights: a sigmoid of each logit, or a softmax over all of them?"),
    (_mixed(weigh=lambda logits: softmax(logits, axis=0)),
     "Over what does the softmax go: over the experts of a token, or over the tokens?"),
    (_mixed(places=lambda chosen: np.sort(chosen, axis=1)),
     "Does each weight meet the output of its own expert? Look at the order of both."),
    (_mixed(places=lambda chosen: np.broadcast_to(np.arange(chosen.shape[1]), chosen.shape)),
     "Are the chosen experts the first k of the table?"),
    (_mixed(keep=lambda logits, k: np.broadcast_to(np.argsort(-logits.mean(0))[:k],
                                                   (len(logits), k))),
     "Does every token choose for itself, or do all use the same experts?"),
    (lambda logits, outputs, k: _mixed()(logits, outputs, k) / k,
     "The weights add up to 1 already. What is divided once more?"),
)  # fmt: skip


def _tokens():
    for seed, (tokens, experts, width, k) in enumerate(((3, 4, 2, 2), (4, 5, 3, 3), (3, 3, 2, 3))):
        rng = draws(seed)
        yield rng.normal(0, 1.5, (tokens, experts)), rng.normal(size=(tokens, experts, width)), k


check_mixture = Check(
    """Check a function that mixes the outputs of the experts that each token chose.

    It takes ``(logits, outputs, k)`` and returns (T, d). `logits` (T, E) are the router's,
    ``outputs[t, e]`` (d,) is what expert e would say to token t. Each token uses the k experts with
    the highest logits; their weights are the softmax of all logits, divided by its sum over the
    chosen ones. With k = E it is the dense mixture.
    """,
    cases=_tokens,
    parts=[
        Part("a number", _mixed(), MIXTURE_MISTAKES,
             lambda at, logits, outputs, k: f"for {len(logits)} tokens and"
             f" {logits.shape[1]} experts, of which each token uses {k}, number {at[1]} of token"
             f" {at[0]}"),
    ],
    success="each token gets the weighted mean of its k experts, and with k = E that of all",
)  # fmt: skip

# -- 2: balance, layer by layer ------------------------------------------------------------------


def _shares(choices, experts: int) -> np.ndarray:
    """Shares (L, E) of the choices (L, T, k) in each layer."""
    return np.stack([np.bincount(one.ravel(), minlength=experts) / one.size for one in choices])


def _balance(probabilities, choices) -> float:
    experts = probabilities.shape[2]
    each = experts * (_shares(choices, experts) * probabilities.mean(1)).sum(1)
    return float(each.mean())


def _pooled(probabilities, choices) -> float:
    experts = probabilities.shape[2]
    share, mean = _shares(choices, experts).mean(0), probabilities.mean((0, 1))
    return float(experts * (share * mean).sum())


def _of_product(form: Callable) -> Callable:
    """A loss that makes something else of the shares and the mean probabilities (L, E)."""
    return lambda probabilities, choices: float(
        form(_shares(choices, probabilities.shape[2]), probabilities.mean(1))
    )


BALANCE_MISTAKES = (
    (_pooled,
     "Two layers each use one expert for everything, but not the same one. What does your loss say"
     " of them, and what of each alone?"),
    (lambda p, c: _pooled(p, c) * c.shape[2],
     "You pool the layers, as transformers does. What does that say of two layers that always use"
     " one expert each, but different ones?"),
    (lambda p, c: _balance(p, c) * c.shape[2],
     "How large is your loss at perfect balance with k = 2? Is a share taken of the tokens, or of"
     " all choices?"),
    (lambda p, c: _balance(p, c) * len(c),
     "Is it the sum over the layers, or their mean?"),
    (lambda p, c: _balance(p, c) / p.shape[2],
     "How large is your loss at perfect balance? Which factor makes that 1 for any number of"
     " experts?"),
    (lambda p, c: _balance(p, c[:, :, :1]),
     "A token chooses k experts. Do you count all of its choices?"),
    (_of_product(lambda f, P: (f.shape[1] * (P * P).sum(1)).mean()),
     "Where do the choices come in? f is counted, P is a mean of probabilities."),
    (_of_product(lambda f, P: (f.shape[1] * (f * f).sum(1)).mean()),
     "Where do the probabilities come in? A count has no gradient."),
    (_of_product(lambda f, P: (f * P).mean()),
     "Is it a sum over the experts, or their mean?"),
    (lambda p, c: _balance(p[:1], c[:1]),
     "How many layers are there?"),
    (lambda p, c: float(p.shape[2] * np.mean(
        [[(np.bincount(row, minlength=p.shape[2]) / len(row)) @ chance
          for row, chance in zip(*layer, strict=True)] for layer in zip(c, p, strict=True)])),
     "Do you multiply token by token? Which means are taken before the product?"),
    (lambda p, c: _balance(p, p.argsort(2)[:, :, ::-1][:, :, :1]),
     "A token chooses k experts, and `choices` says which. Do you count the likeliest instead?"),
)  # fmt: skip


def _layers():
    sure = np.zeros((2, 4, 2))
    sure[[0, 1], :, [0, 1]] = 1
    yield sure, np.broadcast_to(np.arange(2)[:, None, None], (2, 4, 1)).copy()
    for seed, (layers, tokens, experts, k) in enumerate(((2, 5, 4, 2), (3, 6, 5, 2))):
        rng = draws(seed)
        p = softmax(rng.normal(0, 1.5, (layers, tokens, experts)) + np.arange(experts) / 2, axis=2)
        choices = (p + rng.uniform(0, 0.3, p.shape)).argsort(2)[:, :, ::-1][:, :, :k]
        yield p, choices.copy()


check_balance = Check(
    """Check a function that computes the balance loss of several layers.

    It takes ``(probabilities, choices)`` and returns one number. `probabilities` (L, T, E) are the
    router's for T tokens in L layers, and `choices` (L, T, k) the codes of the chosen experts. Of
    each layer it is E times the sum over experts of f P, where f is the share of all choices that
    fell on an expert and P the mean of its probability; of several layers it is the mean.
    """,
    cases=_layers,
    parts=[
        Part("the loss", _balance, BALANCE_MISTAKES,
             lambda at, probabilities, choices: f"for {len(choices)} layers of"
             f" {probabilities.shape[2]} experts and {choices.shape[1]} tokens, the loss"),
    ],
    success="each layer is judged by itself: two layers that collapsed on different experts are as"
    " bad as one that collapsed",
)  # fmt: skip
