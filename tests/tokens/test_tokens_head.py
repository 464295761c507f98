"""A feature-level head: what it reads, what it may propose, and how it is stored."""

from importlib import import_module

import pytest
import torch

from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts.combined import TurnsDraft
from ensemble_lab.tokens.drafts.head import BLIND, LIKELY, FeatureHead
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.lengths import FixedLength
from tests.support.toy_lm import toy, toy_head

IDS = (0, 1, 2, 4)
PROMPTS = [[4], [1, 2, 3], [5, 0, 0, 2, 1, 3, 4]]


def head_of(target, seed=24, ids=IDS):
    return toy_head(seed, target.model.config, ids).attach(target.model)


@torch.inference_mode()
def proposed_at_once(head, model, text, gamma):
    """What a head proposes behind a text, read without any cache: the definition, step by step."""
    text = list(text)
    states = model.model(torch.tensor([text]), use_cache=False).last_hidden_state
    states = torch.nn.functional.pad(states, (0, 0, 1, -1))  # those before: none before the first
    drafted = []
    for _ in range(gamma):
        made = head.step(states, torch.tensor([text]), position_ids=torch.arange(len(text))[None])
        drafted.append(int(head.ids[head.logits(made[0, -1]).argmax()]))
        text.append(drafted[-1])
        states = torch.cat([states, made[:, -1:]], 1)
    return tuple(drafted)


@pytest.mark.parametrize("gamma", [1, 2, 5])
def test_every_round_proposes_what_the_definition_gives(gamma):
    target = toy(0)
    head = head_of(target)
    for prompt, made in zip(PROMPTS, decode(target, PROMPTS, head, gamma=gamma, max_new_tokens=24)):
        text = list(prompt)
        for one in made.rounds:
            expected = proposed_at_once(head, target.model, text, gamma)
            assert one.proposed == expected[: len(one.proposed)]
            text += one.tokens
        assert 0 < sum(r.accepted for r in made.rounds) < sum(len(r.proposed) for r in made.rounds)


class NowAndThen(FixedLength):
    """Asks for tokens in every third round only."""

    rounds = 0

    def ask(self):
        self.rounds += 1
        return 0 if self.rounds % 3 else self.gamma


def test_after_plain_rounds_it_catches_up(monkeypatch):
    """Where drafting does not pay it is asked now and then, and must read all that came."""
    monkeypatch.setattr(import_module("ensemble_lab.tokens.choosing"), "FixedLength", NowAndThen)
    target = toy(0)
    head = head_of(target, seed=8)
    for prompt, made in zip(PROMPTS, decode(target, PROMPTS, head, gamma=3, max_new_tokens=40)):
        text = list(prompt)
        assert [bool(r.proposed) for r in made.rounds[:6]] == [False, False, True] * 2
        for one in made.rounds:
            expected = proposed_at_once(head, target.model, text, 3)
            assert one.proposed == expected[: len(one.proposed)]
            text += one.tokens


@torch.inference_mode()
def chances_at_once(head, model, text, drafted):
    """The head's own chance that all of the first 1, 2, … drafted tokens are its likeliest."""
    found, chance, ids = [], 1.0, head.ids.tolist()
    for i, token in enumerate(drafted):
        assert proposed_at_once(head, model, text, i + 1)[-1] == token
        whole = [*text, *drafted[:i]]
        states = model.model(torch.tensor([text]), use_cache=False).last_hidden_state
        states = torch.nn.functional.pad(states, (0, 0, 1, -1))
        for place in range(len(text), len(whole) + 1):
            where = torch.arange(place)[None]
            made = head.step(states, torch.tensor([whole[:place]]), position_ids=where)
            states = torch.cat([states, made[:, -1:]], 1)
        chance *= head.logits(made[0, -1]).softmax(-1)[ids.index(token)].item()
        found.append(chance)
    return found


def test_behind_a_lookup_it_stops_where_little_would_stay():
    target, stopped = toy(0), 0
    head = head_of(target)
    alone = TurnsDraft(LookupDraft(), head, sure=())
    made = decode(target, PROMPTS[1], alone, gamma=6, max_new_tokens=24)
    text = list(PROMPTS[1])
    for one in made.rounds[:-1]:
        asked = min(6, 24 - (len(text) - len(PROMPTS[1])) - 1)  # what there is room for
        chances = chances_at_once(head, target.model, text, one.proposed)
        assert all(chance > LIKELY for chance in chances[:-1])
        stopped += len(one.proposed) < asked
        assert len(one.proposed) == asked or chances[-1] <= LIKELY
        text += one.tokens
    assert stopped
    sampled = decode(target, PROMPTS, alone, gamma=6, max_new_tokens=24, temperature=1.0, seed=0)
    assert {len(r.proposed) for one in sampled for r in one.rounds[:-6]} == {BLIND}


def test_only_its_own_tokens_are_proposed():
    target = toy(0)
    settings = {"gamma": 4, "max_new_tokens": 30, "temperature": 1.5, "seed": 0}
    made = decode(target, PROMPTS, head_of(target), **settings)
    proposed = {token for one in made for r in one.rounds for token in r.proposed}
    assert proposed == set(IDS)
    assert {token for one in made for token in one.tokens} - set(
        IDS
    )  # the target's distribution has more


def test_stored_and_read_again(tmp_path):
    target = toy(0)
    head = head_of(target).to(torch.bfloat16)
    head.about["weights"] = "a toy"
    head.save(tmp_path / "head.safetensors")
    again = FeatureHead.read(tmp_path / "head.safetensors")
    assert again.about == {"weights": "a toy"}
    assert all(
        torch.equal(a, b) for a, b in zip(head.state_dict().values(), again.state_dict().values())
    )
    assert not any("embed" in name or "rows" in name for name in again.state_dict())
    settings = {"gamma": 3, "max_new_tokens": 20}
    assert decode(target, PROMPTS, again, **settings) and again.join.weight.dtype == torch.float64


def test_a_head_for_another_target_is_refused():
    other = toy(0, vocabulary=9)
    with pytest.raises(ModelError, match=r"writes 6 tokens; the target has 16 and 9"):
        decode(other, [[1]], toy_head(0, toy(0).model.config, IDS))
