"""Big-little decoding: its identities, and the same algorithm written without a cache."""

import math

import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.together import bild
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
    [("choice.loss > rollback", "choice.loss < rollback"),
     ("if chance >= fallback:", "if chance >= 0:"),
     (" and token != choice.token", ""),
     ("choices[kept].token]", "choices[-1].token]")],
)  # fmt: skip
def test_planted_faults_are_seen(old, new, monkeypatch):
    large, small = toy(0), toy(1, layers=1)
    right, wrong, found = bild.by_turns, mutant(bild.by_turns, old, new), False
    for prompt in PROMPTS:
        for asked in ((0.4, 1.5, 4), (0.4, 0.1, 4)):
            way = dict(zip(("fallback", "rollback", "most"), asked), max_new_tokens=30)
            text, rounds = plainly(large, small, prompt, *asked, 30)
            for function in (right, wrong):
                monkeypatch.setattr(bild, "by_turns", function)
                made = big_little(large, small, prompt, **way)
                same = made.tokens == text
                same &= [(r.proposed, r.accepted) for r in made.rounds[1:]] == rounds
                assert same or function is wrong
            found |= not same
    assert found


@pytest.mark.parametrize("ends", [None, 2])
@pytest.mark.parametrize("fallback, rollback, most", [(0.6, 5, 10), (0.4, 1.5, 4), (0.3, 0, 3)])
def test_each_text_of_a_batch_is_that_of_its_prompt_alone(fallback, rollback, most, ends):
    large, small = toy(0, eos_token_id=ends), toy(1, layers=1)
    way = {"fallback": fallback, "rollback": rollback, "most": most, "max_new_tokens": 30}
    prompts = [*PROMPTS, [3] * 20, [0, 4, 1]]
    together = big_little(large, small, prompts, **way)
    alone = [big_little(large, small, prompt, **way) for prompt in prompts]
    for one, other in zip(together, alone, strict=True):
        assert one.tokens == other.tokens
        for a, b in zip(one.rounds, other.rounds, strict=True):
            assert (a.proposed, a.accepted, a.tokens) == (b.proposed, b.accepted, b.tokens)
    if (
        ends is None and rollback
    ):  # in one round one text waits, and in another the small one goes on
        asked = [[len(r.proposed) for r in one.rounds[1:]] for one in together]
        assert any(0 in lengths and max(lengths) > 1 for lengths in zip(*asked))
    short = LanguageModel(network(1, 1, max_position_embeddings=24), NO_WORDS, "short")
    made = big_little(large, short, prompts, **way)
    assert len(made[3].tokens) <= 4
    for one, prompt in zip(made, prompts):
        assert one.tokens == big_little(large, short, prompt, **way).tokens


def test_a_fault_in_one_row_of_a_batch_is_seen(monkeypatch):
    """Were what follows a shorter text not written over, the texts would change."""
    from ensemble_lab.tokens.together import texts

    wrong = texts.Texts.forget
    monkeypatch.setattr(texts.Texts, "forget", lambda self: wrong(self) or self.known.sort())
    large, small = toy(0), toy(1, layers=1)
    way = {"fallback": 0.4, "rollback": 1.5, "most": 4, "max_new_tokens": 30}
    try:
        made = [one.tokens for one in big_little(large, small, list(PROMPTS), **way)]
    except (RuntimeError, IndexError, ValueError):
        return
    monkeypatch.undo()
    assert made != [big_little(large, small, prompt, **way).tokens for prompt in PROMPTS]


def test_an_interrupted_text_is_kept(monkeypatch):
    large, small = toy(0), toy(1, layers=1)
    whole, right = (
        big_little(large, small, [1, 2, 3], fallback=0.3, max_new_tokens=30),
        bild.by_turns,
    )

    def stopped(*settings):
        for n, made in enumerate(right(*settings)):
            if n == 3:
                raise KeyboardInterrupt
            yield made

    monkeypatch.setattr(bild, "by_turns", stopped)
    made = big_little(large, small, [1, 2, 3], fallback=0.3, max_new_tokens=30)
    assert len(made.rounds) == 3 and made.tokens == whole.tokens[: len(made.tokens)]


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
    for name in ("fallback", "rollback"):
        with pytest.raises(ValueError, match=f"{name}=-1"):
            big_little(toy(0), toy(1), [1], **{name: -1})
    for name in ("most", "max_new_tokens"):
        with pytest.raises(ValueError, match=f"{name}=0 asks for no token"):
            big_little(toy(0), toy(1), [1], **{name: 0})
