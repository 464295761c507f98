"""Plain speculative decoding is exact, by enumeration; and the engine is plain decoding.

`plain.speculative` is played with every outcome of its random numbers, so that its distribution is
known to the last digits. The engine's greedy rounds must be the same, its sampled ones must follow
the enumerated distribution. The familywise level of the statistics is 0.001.
"""

import itertools
from collections import defaultdict
from functools import cache

import numpy as np
import pytest
import torch

from ensemble_lab.tokens import accept, plain, verification
from ensemble_lab.tokens.decode import decode, stream
from ensemble_lab.tokens.drafts.base import Proposal
from ensemble_lab.tokens.plain import one_round, speculative
from ensemble_lab.tokens.sampling import Sampling
from tests.support.toy_lm import every_way, mutant, p_value, toy
from tests.tokens.test_tokens_lossless import FAULTS, planted

SIZE = 3
PROMPT = [1, 0]
GAMMAS = (1, 2, 3)


def table(seed, zeros=0.3):
    """A model that looks at all that stands before: distributions by the sum of the tokens."""
    rng = np.random.default_rng(seed)
    weights = rng.random((5, SIZE)) * (rng.random((5, SIZE)) > zeros)
    weights[np.arange(5), rng.integers(SIZE, size=5)] += 0.05
    weights /= weights.sum(1, keepdims=True)
    return lambda tokens: weights[np.cumsum(tokens) % 5]


def joint(target, n):
    """The joint distribution (V,) * n of the n tokens behind the prompt."""
    exact = np.ones((SIZE,) * n)
    for text in itertools.product(range(SIZE), repeat=n):
        p = target([*PROMPT, *text])[len(PROMPT) - 1 :]
        exact[text] = np.prod([p[i][x] for i, x in enumerate(text)])
    return exact


def enumerated(play, n):
    """The same of the first n tokens that `play` writes."""
    exact = np.zeros((SIZE,) * n)
    for probability, text in every_way(play):
        exact[tuple(text[len(PROMPT) : len(PROMPT) + n])] += probability
    return exact


def at_least(n, target, draft, gamma, rng):
    """A text of rounds of gamma drafted tokens each, until n tokens are there."""
    text = list(PROMPT)
    while len(text) < len(PROMPT) + n:
        drafted, accepted, follow = plain.one_round(target, draft, text, gamma, rng)
        text += [*drafted[:accepted], follow]
    return text


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_distribution_is_the_targets(seed, gamma):
    target, draft = table(seed), table(seed + 100)
    found = enumerated(lambda rng: at_least(3, target, draft, gamma, rng), 3)
    assert np.abs(found - joint(target, 3)).max() < 1e-12
    assert found.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("gamma", [*GAMMAS, 9])
def test_the_last_round_drafts_what_there_is_room_for(gamma):
    target, draft = table(5), table(6)

    def play(rng):
        text, rounds = speculative(target, draft, PROMPT, gamma, len(PROMPT) + 4, rng)
        assert len(text) == len(PROMPT) + 4 == len(PROMPT) + sum(a + 1 for _, a, _ in rounds)
        assert all(len(drafted) <= gamma for drafted, _, _ in rounds)
        return text

    assert np.abs(enumerated(play, 4) - joint(target, 4)).max() < 1e-12


def test_a_draft_that_is_the_target_is_always_accepted():
    target = table(1)
    for _, (drafted, accepted, _) in every_way(lambda rng: one_round(target, target, [0], 3, rng)):
        assert accepted == len(drafted) == 3


PLAIN_FAULTS = {
    "ratio reversed": ("p[i][x] / q[i][x]", "q[i][x] / max(p[i][x], 1e-9)"),
    "correction from p": ("np.maximum(behind - q[accepted], 0)", "behind"),
    "bonus one place early": ("p[accepted]", "p[min(accepted, gamma - 1)]"),
    "residual at the wrong place": ("- q[accepted]", "- q[0]"),
    "target read one place early": ("target(tokens + drafted)", "target([0, *tokens] + drafted)"),
}


@pytest.mark.parametrize("fault", PLAIN_FAULTS)
def test_enumeration_sees_a_planted_fault(monkeypatch, fault):
    monkeypatch.setattr(plain, "one_round", mutant(one_round, *PLAIN_FAULTS[fault]))
    target, draft = table(0), table(100)
    found = enumerated(lambda rng: at_least(3, target, draft, 2, rng), 3)
    assert np.abs(found - joint(target, 3)).max() > 1e-3


# The engine, greedy


def one_by_one(model, sampling):
    """A language model without a cache, as plain decoding takes it."""

    @cache
    def read(tokens):
        with torch.inference_mode():
            logits = model.model(torch.tensor([tokens]), use_cache=False).logits[0]
        return sampling.distribution(logits).numpy()  # (n, V)

    return lambda tokens: read(tuple(tokens))


RAGGED = [[4], [1, 2, 3], [5, 0, 0, 2, 1, 3, 4]]
NEW = 20


def check_greedy(prompts, gamma, draft):
    """Token for token and round for round; a batch may draft more than one row has room for."""
    target, greedy = toy(0), Sampling(0.0)
    p, q = one_by_one(target, greedy), one_by_one(draft, greedy)
    for prompt, made in zip(
        prompts, decode(target, prompts, draft, gamma=gamma, max_new_tokens=NEW)
    ):
        text, rounds = speculative(p, q, prompt, gamma, len(prompt) + NEW, np.random.default_rng(0))
        assert [*prompt, *made.tokens] == text
        assert len(made.rounds) == len(rounds)
        for one, (drafted, accepted, follow) in zip(made.rounds, rounds):
            assert one.tokens == (*drafted[:accepted], follow)
            assert list(one.proposed[: len(drafted)]) == drafted
            assert min(one.accepted, len(drafted)) == accepted
            assert len(prompts) > 1 or len(one.proposed) == len(drafted)
        assert any(accepted for _, accepted, _ in rounds)


@pytest.mark.parametrize("gamma", [1, 2, 4, 7])
@pytest.mark.parametrize("prompts", [RAGGED[:1], RAGGED[1:2], RAGGED], ids=["one", "two", "batch"])
def test_greedy_rounds_are_plain(prompts, gamma):
    check_greedy(prompts, gamma, toy(1, layers=1))
    check_greedy(prompts, gamma, toy(0))


def test_the_comparison_sees_a_planted_fault(monkeypatch):
    old, new = "accepted = passes.cumprod(-1).sum(-1)", "accepted = passes.cumprod(-1).sum(-1) // 2"
    monkeypatch.setattr(verification, "accept_greedy", mutant(accept.accept_greedy, old, new))
    with pytest.raises(AssertionError):  # the text is the same, the rounds are not
        check_greedy(RAGGED, 4, toy(0))


# The engine, sampled

FEW = 4  # tokens of the vocabulary
ROWS = 6_000
RULE = {"temperature": 0.8}
CASES = (("model", 1, 2), ("model", 2, 2), ("model", 4, 1), ("certain", 2, 2))
LEVEL = 0.001 / len(CASES)


class CertainDraft:
    """Proposes one token after the other, always the same, and is certain of them."""

    def begin(self, rows, sampling, generator):
        pass

    def propose(self, rows, most):
        tokens = torch.arange(most).expand(len(rows), -1) % FEW
        return Proposal(tokens, [most] * len(rows))


def models():
    return toy(0, vocabulary=FEW), toy(1, layers=1, hidden=8, vocabulary=FEW)


@cache
def distribution_of_rounds(kind, gamma, rounds):
    """The joint distribution of (accepted, follow) of the first rounds: (gamma + 1, V) * rounds."""
    target, draft = (one_by_one(model, Sampling(**RULE)) for model in models())
    exact = np.zeros((gamma + 1, FEW) * rounds)
    texts = {(): ({tuple(PROMPT): 1.0})}  # by what happened, how likely each text is
    for _ in range(rounds):
        grown = defaultdict(lambda: defaultdict(float))
        for told, of_text in texts.items():
            for text, share in of_text.items():
                q = draft if kind == "model" else fixed(len(text))
                play = lambda rng: one_round(target, q, list(text), gamma, rng)  # noqa: B023, E731
                for probability, (drafted, accepted, follow) in every_way(play):
                    longer = (*text, *drafted[:accepted], follow)
                    grown[(*told, accepted, follow)][longer] += share * probability
        texts = grown
    for told, of_text in texts.items():
        exact[told] = sum(of_text.values())
    return torch.from_numpy(exact)


def fixed(start):
    """What `CertainDraft` proposes behind a text of `start` tokens, as a model."""
    return lambda tokens: np.eye(FEW)[(np.arange(len(tokens)) + 1 - start) % FEW]


def rounds_of_the_engine(kind, gamma, rounds):
    """How often each (accepted, follow) was seen: (gamma + 1, V) * rounds."""
    target, draft = models()
    draft = draft if kind == "model" else CertainDraft()
    settings = {"gamma": gamma, "seed": 1, "max_new_tokens": rounds * (gamma + 1) + 1, **RULE}
    decoding = iter(stream(target, [PROMPT] * ROWS, draft, **settings))
    told = [[] for _ in range(ROWS)]
    for _ in range(rounds):
        for row, one in zip(told, next(decoding)):
            row += [one.accepted, one.tokens[-1]]
    counts = torch.zeros((gamma + 1, FEW) * rounds)
    places = torch.tensor(told).T
    return counts.index_put_(tuple(places), torch.ones(ROWS), accumulate=True)


@pytest.mark.parametrize("kind, gamma, rounds", CASES)
def test_sampled_rounds_follow_plain(kind, gamma, rounds):
    exact = distribution_of_rounds(kind, gamma, rounds)
    assert exact.sum().item() == pytest.approx(1, abs=1e-12)
    assert p_value((rounds_of_the_engine(kind, gamma, rounds), exact)) > LEVEL


@pytest.mark.parametrize("fault", FAULTS)
def test_the_statistics_see_a_planted_fault(monkeypatch, fault):
    planted(monkeypatch, *FAULTS[fault])
    assert (
        p_value((rounds_of_the_engine("model", 2, 2), distribution_of_rounds("model", 2, 2)))
        < LEVEL
    )
