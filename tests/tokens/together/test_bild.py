"""Big-little decoding: its identities, and the same algorithm written without a cache."""

import math

import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.together.bild import big_little
from tests.support.toy_lm import NO_WORDS, mutant, network, toy

PROMPTS = ([4], [1, 2, 3], [5, 0, 5, 0, 5])


def distribution(model, text):
    with torch.inference_mode():
        return model.model(torch.tensor([text])).logits[0, -1].softmax(-1)


def plainly(large, small, prompt, fallback, rollback, most, n):
    """The text and (proposed, accepted) of every round, each token read on its own."""
    text, rounds = list(prompt), []
    text.append(int(distribution(large, text).argmax()))
    end = len(prompt) + n
    while len(text) < end and text[-1] not in large.ends:
        drafted = []
        while len(drafted) < most and len(text) + len(drafted) < end:
            q = distribution(small, text + drafted)
            if q.max() < fallback:
                break
            drafted.append(int(q.argmax()))
            if drafted[-1] in large.ends:
                break
        kept = 0
        for x in drafted:
            p = distribution(large, text + drafted[:kept])
            if p[x] < math.exp(-rollback) and p.argmax() != x:
                break
            kept += 1
        rounds.append((tuple(drafted), kept))
        for x in [*drafted[:kept], int(distribution(large, text + drafted[:kept]).argmax())]:
            if len(text) < end and text[-1] not in large.ends:
                text.append(x)
    return tuple(text[len(prompt) :]), rounds


@pytest.mark.parametrize("ends", [None, 2])
@pytest.mark.parametrize("fallback, rollback, most", [(0.6, 5, 10), (0.4, 1.5, 4), (0.3, 3, 10)])
def test_the_same_without_a_cache(fallback, rollback, most, ends):
    large, small = toy(0, eos_token_id=ends), toy(1, layers=1)
    behind = []
    for prompt in PROMPTS:
        made = big_little(large, small, prompt, fallback=fallback, rollback=rollback, most=most,
                          max_new_tokens=30)  # fmt: skip
        text, rounds = plainly(large, small, prompt, fallback, rollback, most, 30)
        assert made.tokens == text
        assert [(r.proposed, r.accepted) for r in made.rounds[1:]] == rounds
        assert sum((r.tokens for r in made.rounds), ()) == text
        behind += [len(proposed) - kept for proposed, kept in rounds]
    if (fallback, ends) == (0.4, None):
        assert max(behind) > 0  # there are rollbacks


@pytest.mark.parametrize("prompt", PROMPTS, ids=str)
def test_identities(prompt):
    large, small = toy(0), toy(1, layers=1)
    asked = {"max_new_tokens": 25}
    greedy = decode(large, prompt, **asked).tokens
    speculative = decode(large, prompt, small, gamma=10, **asked).tokens
    never = big_little(large, small, prompt, fallback=1.1, **asked)
    assert never.tokens == greedy == speculative and not any(r.proposed for r in never.rounds)
    for fallback in (0, 0.3):
        made = big_little(large, small, prompt, fallback=fallback, rollback=0, **asked)
        assert made.tokens == greedy
    same = big_little(large, large, prompt, fallback=0, rollback=0, **asked)
    assert same.tokens == greedy and all(r.accepted == len(r.proposed) for r in same.rounds)
    free = big_little(large, small, prompt, fallback=0, rollback=math.inf, **asked)
    assert [len(r.tokens) for r in free.rounds] == [1, 11, 11, 2]  # cut by the limit
    assert [r.accepted for r in free.rounds][:3] == [0, 10, 10]


@pytest.mark.parametrize(
    "old, new",
    [("losses[i] > rollback", "losses[i] < rollback"),
     ("if chance < fallback:", "if chance < 0:"),
     (" and x != best[i]", ""),
     ("[*drafted[:kept], best[kept]]", "[*drafted[:kept], best[-1]]")],
)  # fmt: skip
def test_planted_faults_are_seen(old, new):
    large, small = toy(0), toy(1, layers=1)
    wrong, found = mutant(big_little, old, new), False
    for prompt in PROMPTS:
        for asked in ((0.4, 1.5, 4), (0.4, 0.1, 4)):
            way = dict(zip(("fallback", "rollback", "most"), asked), max_new_tokens=30)
            text, rounds = plainly(large, small, prompt, *asked, 30)
            for function, faulty in ((big_little, False), (wrong, True)):
                made = function(large, small, prompt, **way)
                same = made.tokens == text
                same &= [(r.proposed, r.accepted) for r in made.rounds[1:]] == rounds
                assert same or faulty
            found |= not same
    assert found


def test_the_tiny_pair():
    pair = [lab.load(name, dtype="float64") for name in ("tiny", "tiny-draft")]
    greedy = decode(pair[0], "The sea was", max_new_tokens=30).tokens
    assert big_little(*pair, "The sea was", rollback=0, max_new_tokens=30).tokens == greedy
    made = big_little(*pair, "The sea was", max_new_tokens=30)
    assert made.text and len(made.rounds) <= len(made.tokens) and made.seconds > 0


def test_what_is_refused():
    broken = LanguageModel(network(3), NO_WORDS, "the broken one")
    broken.model.lm_head.weight.data[2] = math.nan
    for large, small in ((broken, toy(1)), (toy(1), broken)):
        with pytest.raises(ModelError, match="the broken one"):
            big_little(large, small, [1, 2])
    with pytest.raises(ModelError, match="vocabularies of 6 and 5"):
        big_little(toy(0), toy(0, vocabulary=5), [1])
    with pytest.raises(ModelError, match="give one prompt at a time"):
        big_little(toy(0), toy(1), [[1], [2]])
    for name in ("fallback", "rollback"):
        with pytest.raises(ValueError, match=f"{name}=-1"):
            big_little(toy(0), toy(1), [1], **{name: -1})
    for name in ("most", "max_new_tokens"):
        with pytest.raises(ValueError, match=f"{name}=0 asks for no token"):
            big_little(toy(0), toy(1), [1], **{name: 0})
