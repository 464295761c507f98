"""Lossy rules: their distributions exactly, the engine against them, and what is refused.

The familywise level of the statistics is 0.001.
"""

import copy
import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.errors import UnknownName
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens import lossy
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.divergences import _parts, exact_divergence, measured_divergence
from ensemble_lab.tokens.drafts.trees import DraftTree
from ensemble_lab.tokens.lossy import Lenience, Mixture, Typical, accept_lossy
from ensemble_lab.tokens.sampling import Sampling
from tests.support.tokenizers import Pieces
from tests.support.toy_lm import (
    counted,
    drawn,
    every_way,
    mutant,
    network,
    p_value,
    toy,
    toy_head,
)
from tests.tokens.test_plain import PROMPT, SIZE, joint, table

LEVEL = 0.001 / 12
RULES = (Typical(), Typical(0.4, 0.9), Lenience(0.5), Lenience(1), Mixture(0.3), Mixture(1))


def distribution_of(rule, p, q):
    """The chances (V,) of a drafted token's place."""
    return np.sum(_parts(rule, *map(torch.tensor, (p, q)), True), 0)


# One token, by hand and by definition


def test_typical_acceptance_by_hand():
    """exp(-H) of these is 0.68, 0.125 and 0.29."""
    for p, right in (
        ((0.9, 0.06, 0.04), (1, 0, 0)),  # the least is epsilon, 0.09
        ((0.125,) * 8, (1,) * 8),  # 0.3 * 0.125
        ((0.5, 0.2, 0.15, 0.08, 0.07), (1, 1, 1, 1, 0)),  # 0.3 * 0.265 = 0.0795
        ((1.0, 0.0), (1, 0)),
    ):
        p = torch.tensor(p, dtype=torch.float64)
        assert Typical().chances(p, p).tolist() == list(right)


def test_lenience_by_hand():
    """Accepted are min(q, p / 0.5) = (1/2, 1/4), and the rest (0, 5/8) takes all that is left."""
    assert distribution_of(Lenience(0.5), [0.25, 0.75], [0.75, 0.25]).tolist() == [0.5, 0.5]
    models = [lambda tokens, x=x: np.array([x] * len(tokens)) for x in ([0.25, 0.75], [0.75, 0.25])]
    found = exact_divergence(*models, [0], 1, 1, Lenience(0.5))
    assert found == pytest.approx((0.5 * math.log(4 / 3), 0.25))


weights = st.lists(st.integers(0, 6), min_size=1, max_size=5)


@settings(deadline=None)
@given(weights, weights, st.floats(0.05, 1), st.floats(0, 1))
def test_the_distribution_of_a_place_keeps_its_promises(a, b, factor, weight):
    pairs = [(x + (i == 0), y + (i == 0)) for i, (x, y) in enumerate(zip(a, b))]
    p, q = (np.array(x, float) / sum(x) for x in zip(*pairs))
    lenient = distribution_of(Lenience(factor), p, q)
    assert lenient.sum() == pytest.approx(1) and (lenient <= p / factor + 1e-9).all()
    assert np.abs(distribution_of(Lenience(1), p, q) - p).max() < 1e-9
    mixed = weight * p + (1 - weight) * q
    assert np.abs(distribution_of(Mixture(weight), p, q) - mixed).max() < 1e-9


# Several tokens, by another enumeration


def plain_round(rule, p_of, q_of, tokens, gamma, rng):
    """A round of a rule, written for one text: the tokens that it adds."""
    added = []
    for _ in range(gamma):
        p, q = p_of(tokens + added)[-1], q_of(tokens + added)[-1]
        x = int(rng.choice(len(q), p=q))
        if isinstance(rule, Mixture):
            p = rule.weight * p + (1 - rule.weight) * q
        if isinstance(rule, Typical):
            entropy = -sum(v * math.log(v) for v in p if v)
            chance = float(p[x] > min(rule.epsilon, rule.delta * math.exp(-entropy)))
            rest = p
        else:
            factor = getattr(rule, "factor", 1)
            chance, rest = p[x] / (factor * q[x]), np.maximum(p - factor * q, 0)
        if rng.random() < chance:
            added.append(x)
            continue
        return [*added, int(rng.choice(len(rest), p=rest / rest.sum()))]
    p, q = p_of(tokens + added)[-1], q_of(tokens + added)[-1]
    bonus = rule.weight * p + (1 - rule.weight) * q if isinstance(rule, Mixture) else p
    return [*added, int(rng.choice(len(bonus), p=bonus))]


@pytest.mark.parametrize("gamma, n", [(1, 3), (2, 2)])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_divergence_is_that_of_the_rounds(rule, gamma, n):
    target, draft = table(0, zeros=0), table(100, zeros=0)
    chances = Counter()

    def play(rng):
        added = []
        while len(added) < n:
            added += plain_round(rule, target, draft, list(PROMPT) + added, gamma, rng)
        return tuple(added[:n])

    for share, text in every_way(play):
        chances[text] += share
    made, exact = np.zeros((SIZE,) * n), joint(target, n)
    for text, share in chances.items():
        made[text] = share
    found = exact_divergence(target, draft, list(PROMPT), gamma, n, rule)
    inside = made > 0
    kl = (made[inside] * np.log(made[inside] / exact[inside])).sum()
    assert found == pytest.approx((kl, np.abs(made - exact).sum() / 2), abs=1e-10)
    if isinstance(rule, Mixture):
        of_tokens = [(rule.weight, target), (1 - rule.weight, draft)]
        mixed = joint(lambda tokens: sum(w * model(tokens) for w, model in of_tokens), n)
        assert np.abs(made - mixed).max() < 1e-12  # at every position, for every gamma


# The engine


def seen_by(rule, rows=40_000, size=4):
    """Counts of the token of a place, and its chances."""
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(size) * 0.7, 2), rng.dirichlet(np.ones(size) * 0.7, 2)
    generator = torch.Generator().manual_seed(0)
    drafted = torch.multinomial(torch.tensor(q[0]), rows, True, generator=generator)[:, None]
    batch = (torch.tensor(x).expand(rows, -1, -1) for x in (p, q))
    target, draft = batch
    q_given = draft if rule.further else draft[:, :1]
    count = torch.arange(rows) % 5 != 0  # every fifth row drafted nothing
    accepted, follow = lossy.accept_lossy(rule, target, drafted, count.long(), q_given, generator)
    first = torch.where(accepted == 1, drafted[:, 0], follow)
    place, bonus = (
        distribution_of(rule, p[0], q[0]),
        np.array(_parts(rule, *map(torch.tensor, (p[1], q[1])), False)[1]),
    )
    free = np.array(_parts(rule, *map(torch.tensor, (p[0], q[0])), False)[1])
    pairs = [(first[count], place), (first[~count], free), (follow[accepted == 1], bonus)]
    return [(torch.bincount(x, minlength=size), torch.tensor(chances)) for x, chances in pairs]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_engine_follows_the_distribution(rule):
    assert p_value(*seen_by(rule)) > LEVEL


FAULTS = {
    "the target's bonus": (Mixture(0.3), "left = behind = aim[rows, accepted]",
                           "left = behind = torch.where((accepted < count)[:, None], aim[rows,"
                           " accepted], p[rows, accepted])"),
    "the target's rest": (Lenience(0.5), "rule.rest(behind,", "Lenience(1).rest(behind,"),
    "no rest": (Mixture(0.3), "[:, None], rest, behind)", "[:, None], behind, behind)"),
    "padding is accepted": (Lenience(0.5), " & within(drafted, count)", ""),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_statistics_see_a_planted_fault(monkeypatch, fault):
    rule, old, new = FAULTS[fault]
    monkeypatch.setattr(lossy, "accept_lossy", mutant(accept_lossy, old, new))
    assert p_value(*seen_by(rule)) < LEVEL


def mixed_distribution(target, draft, sampling, weight, prompt, n):
    size, chances = target.model.config.vocab_size, torch.ones(1, dtype=torch.float64)
    for i in range(n):
        prefixes = [[*prompt, *rest] for rest in itertools.product(range(size), repeat=i)]
        with torch.inference_mode():
            p, q = (
                sampling.distribution(one.model(torch.tensor(prefixes)).logits[:, -1])
                for one in (target, draft)
            )
        chances = (chances[:, None] * (weight * p + (1 - weight) * q)).flatten()
    return chances.reshape((size,) * n)


@pytest.mark.parametrize("gamma", [1, 2, 5, None])
@pytest.mark.parametrize("weight", [0, 0.5, 1])
def test_sampled_texts_follow_the_mixture(weight, gamma):
    """The texts end with the third token, so the last one is nobody's bonus."""
    target, draft, sampling = toy(0, hidden=8), toy(1, layers=1, hidden=8), Sampling(1.2)
    settings = {"gamma": gamma, "max_new_tokens": 3, "seed": 4, "temperature": 1.2}
    made = decode(target, [[1, 2, 3]] * 3000, draft, verification=Mixture(weight), **settings)
    tokens = torch.tensor([one.tokens for one in made])
    exact = mixed_distribution(target, draft, sampling, weight, [1, 2, 3], 3)
    assert p_value((counted(tokens), exact)) > LEVEL


@pytest.mark.parametrize("kind", ["model", "head", "early-exit:1"])
def test_the_targets_text_at_the_ends_of_the_rules(kind):
    """With the same random numbers: lenience 1 is token verification; weight 1 is the target's."""
    target = toy(0)
    draft = {"model": toy(1, layers=1), "head": toy_head(24, target.model.config, (0, 1, 2, 4))}
    draft = draft.get(kind, kind)
    settings = {"gamma": 3, "max_new_tokens": 20, "seed": 5, "temperature": 1.1}
    prompts = [[4], [1, 2, 3]]
    by_token = decode(target, prompts, draft, **settings)
    lenient = decode(target, prompts, draft, verification=Lenience(1), **settings)
    assert [one.tokens for one in by_token] == [one.tokens for one in lenient]
    mixed = decode(target, prompts, draft, verification=Mixture(0), **settings)
    for one in mixed:  # the draft's own text: everything is accepted
        assert all(r.accepted == len(r.proposed) for r in one.rounds) and len(one.tokens) == 20
    texts = drawn(target, [[1, 2, 3]] * 2000, draft, 2, seed=1, gamma=2, max_new_tokens=9,
                  temperature=1.1, verification=Mixture(1))  # fmt: skip
    same = Sampling(1.1)
    exact = mixed_distribution(target, target, same, 1, [1, 2, 3], 2)
    assert p_value((counted(texts), exact)) > LEVEL


def test_more_is_accepted_the_more_is_lost():
    target, draft = table(0, zeros=0), table(100, zeros=0)
    lost = [
        exact_divergence(target, draft, list(PROMPT), 2, 3, Lenience(f)).total_variation
        for f in (1, 0.8, 0.5, 0.2)
    ]
    assert lost == sorted(lost) and lost[0] < 1e-12 < lost[1]


def test_divergence_on_the_tiny_pair():
    target, draft = (lab.load(name, dtype="float64") for name in ("tiny", "tiny-draft"))
    asked = {"gamma": 3, "max_new_tokens": 24, "seed": 2}
    found = {
        rule: measured_divergence(target, draft, ["The sea was", "Count:"], rule, **asked)
        for rule in (Mixture(1), Lenience(1), Mixture(0.5), Lenience(0.5), Typical())
    }
    for exact in (Mixture(1), Lenience(1)):
        assert max(found.pop(exact)) < 1e-6
    assert all(0.005 < one.total_variation < 1 and one.kl > 0 for one in found.values())


# What is refused


@pytest.mark.parametrize("value", [0, -0.1, 1.01, float("nan"), "a", None])
@pytest.mark.parametrize(
    "make", [Lenience, lambda x: Typical(epsilon=x), lambda x: Typical(delta=x)]
)
def test_numbers_out_of_range(make, value):
    with pytest.raises(ValueError, match="factor|epsilon|delta"):
        make(value)


@pytest.mark.parametrize("value", [-0.1, 1.01, float("nan"), "a", None])
def test_weights_out_of_range(value):
    with pytest.raises(ValueError, match="weight"):
        Mixture(value)


@pytest.mark.parametrize("rule", ["typical", Typical(), Lenience(0.5), Mixture(0.5)])
def test_lossy_rules_need_a_temperature(rule):
    with pytest.raises(ValueError, match="give a temperature above 0"):
        decode(toy(0), [1], toy(1, layers=1), gamma=2, verification=rule)


@pytest.mark.parametrize("name, fix", [("lenience", r"Lenience\(0.5\)"), ("mixture", r"Mixture\(")])
def test_names_that_need_a_number(name, fix):
    with pytest.raises(ValueError, match=f"{name}.* needs a number: give {fix}"):
        decode(toy(0), [1], toy(1, layers=1), temperature=1.0, verification=name)
    with pytest.raises(UnknownName, match="did you mean 'typical'"):
        decode(toy(0), [1], toy(1, layers=1), temperature=1.0, verification="typicl")


@pytest.mark.parametrize("draft", [None, "lookup"])
def test_a_mixture_needs_a_draft_with_probabilities(draft):
    with pytest.raises(ModelError, match="needs a draft with probabilities everywhere"):
        decode(toy(0), [1], draft, temperature=1.0, verification=Mixture(0.5))


@pytest.mark.parametrize("rule", [Typical(), Lenience(0.5), Mixture(0.5)])
def test_lossy_rules_verify_chains(rule):
    tree = DraftTree(toy(1, layers=1), nodes=4)
    with pytest.raises(ModelError, match="give the draft without a tree"):
        decode(toy(0), [1], tree, temperature=1.0, verification=rule)


def a_copy(model, weights="a copy"):
    return LanguageModel(copy.deepcopy(model.model), model.tokenizer, weights)


def test_a_draft_without_finite_logits_is_named():
    """The target is finite: whoever reads that it is damaged would load the wrong model again."""
    damaged = a_copy(toy(1, layers=1), "my draft")
    with torch.no_grad():
        damaged.model.lm_head.weight[0] = float("nan")
    how = {"gamma": 2, "temperature": 1.0, "seed": 0, "max_new_tokens": 8}
    for prompts in ([1], [[1], [2, 3]]):
        with pytest.raises(ModelError, match="'my draft' gives logits that are NaN"):
            decode(toy(0), prompts, damaged, verification=Mixture(0.5), **how)
    with pytest.raises(ModelError, match="'my target' gives logits that are NaN"):
        whose = a_copy(damaged, "my target")
        decode(whose, [1], damaged, verification=Mixture(0.5), **how)
    assert len(decode(toy(0), [1], damaged, verification=Lenience(0.5), **how).tokens) == 8


def short(context):
    """A draft that sees so many tokens, where the target sees 64."""
    draft = a_copy(toy(1, layers=1, hidden=8))
    draft.model.config.max_position_embeddings = context
    return draft


@pytest.mark.parametrize("gamma", [1, 3, None])
def test_a_mixture_ends_where_the_drafts_context_does(gamma):
    how = {"gamma": gamma, "temperature": 1.2, "verification": Mixture(0.5), "max_new_tokens": 30}
    prompts = [[1, 2, 3], [4] * 9, [1, 2] * 5 + [3]]
    made = decode(toy(0, hidden=8), prompts, short(12), seed=0, **how)
    assert [len(one.tokens) for one in made] == [9, 3, 1]  # the shorter texts went on
    with pytest.raises(ModelError, match="a prompt of 12 tokens leaves nothing of the 12 that"):
        decode(toy(0, hidden=8), [[1], [2] * 12], short(12), **how)


def test_the_text_follows_the_mixture_to_the_end_of_the_drafts_context():
    """A row beside them fills the context at once; the others write their last tokens after."""
    target, draft, sampling = toy(0, hidden=8), short(6), Sampling(1.2)
    prompts = [[1, 2, 3]] * 3000 + [[2] * 5]
    made = decode(target, prompts, draft, verification=Mixture(0.5), gamma=2, seed=4,
                  temperature=1.2)[:-1]  # fmt: skip
    tokens = torch.tensor([one.tokens for one in made])
    exact = mixed_distribution(target, draft, sampling, 0.5, [1, 2, 3], 3)
    assert tokens.shape == (3000, 3) and p_value((counted(tokens), exact)) > LEVEL


@pytest.mark.parametrize("gamma", [3, None])
def test_elsewhere_a_short_draft_only_stops_drafting(gamma):
    target, prompts = toy(0), [[1, 2, 3], [4] * 9, [1, 2] * 9]
    made = decode(target, prompts, short(12), gamma=gamma, max_new_tokens=20)
    assert [one.tokens for one in made] == [
        one.tokens for one in decode(target, prompts, max_new_tokens=20)
    ]
    assert any(r.proposed for r in made[0].rounds) and not any(r.proposed for r in made[2].rounds)


def test_what_no_divergence_can_be_told_of():
    models = [lambda tokens: np.full((len(tokens), 4), 0.25)] * 2
    for changed, message in (
        ((0, 1, Typical()), "gamma=0"),
        ((1, 0, Typical()), "n=0"),
        ((1, 20, Typical()), "n=20 with 4 tokens makes more than"),
        ((1, 1, "typical"), r"give Typical\(\)"),
    ):
        with pytest.raises(ValueError, match=message):
            exact_divergence(*models, [0], *changed)
    with pytest.raises(ValueError, match="at least one token"):
        exact_divergence(*models, [], 1, 1, Typical())
    with pytest.raises(ModelError, match="vocabulary has 5 tokens, the target's 6"):
        measured_divergence(toy(0), toy(0, vocabulary=5), [[1]], Typical())


# What a rule does with odd numbers


@pytest.mark.parametrize("rule", [Lenience(1), Lenience(0.5), Typical(1, 1)], ids=str)
def test_tokens_that_a_draft_cannot_give_a_chance_are_not_taken(rule):
    """With a NaN in q: what is written follows p, and is not what the draft proposed."""
    p = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64).expand(4000, 2, 3)
    drafted, count = torch.zeros(4000, 1, dtype=torch.long), torch.ones(4000, dtype=torch.long)
    q = torch.full((4000, 1, 3), float("nan"), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    accepted, follow = accept_lossy(rule, p, drafted, count, q, generator)
    assert not accepted.any()
    assert p_value((torch.bincount(follow, minlength=3), p[0, 0])) > LEVEL


@pytest.mark.parametrize(
    "made, plain",
    [
        (Lenience(Fraction(1, 2)), Lenience(0.5)),
        (Typical(Fraction(1, 4), Fraction(1, 2)), Typical(0.25, 0.5)),
        (Mixture(Fraction(1, 2)), Mixture(0.5)),
    ],
    ids=str,
)
def test_fractions_are_numbers(made, plain):
    settings = {"gamma": 3, "max_new_tokens": 8, "temperature": 1.0, "seed": 0}
    both = [
        decode(toy(0), [1], toy(1, layers=1), verification=r, **settings) for r in (made, plain)
    ]
    assert both[0].tokens == both[1].tokens


def test_a_class_of_ones_own_is_no_rule():
    class Mine(lossy.Lossy):
        pass

    with pytest.raises(ValueError, match=r"verification=Mine is a class: give a rule.*Mine\(\)"):
        decode(toy(0), [1], toy(1, layers=1), temperature=1.0, verification=Mine)


GOOD = [0.5, 0.25, 0.25]


@pytest.mark.parametrize("which", ["target", "draft"])
@pytest.mark.parametrize("wrong", [[2.0, 3, 1], [-1, 2, 0], [0.5, float("nan"), 0.5], [0.3] * 3])
def test_models_that_give_no_distribution(which, wrong):
    given = {"target": GOOD, "draft": GOOD, which: wrong}
    models = [lambda tokens, x=x: np.array([x] * len(tokens)) for x in given.values()]
    with pytest.raises(ValueError, match=rf"{which}\(tokens\)\[-1\]=.*is not a distribution"):
        exact_divergence(*models, [0], 1, 1, Lenience(0.5))


@pytest.mark.parametrize("other", [[1.0], [0.5, 0.5]])
def test_models_of_two_vocabularies(other):
    models = [lambda tokens, x=x: np.array([x] * len(tokens)) for x in (GOOD, other)]
    with pytest.raises(ValueError, match=f"draft gives {len(other)} chances.*and the target 3"):
        exact_divergence(*models, [0], 1, 1, Lenience(0.5))


@pytest.mark.parametrize("tokens", [5, None, "ab"])
def test_a_text_that_is_none(tokens):
    models = [lambda tokens: np.array([GOOD] * len(tokens))] * 2
    with pytest.raises(ValueError, match="tokens"):
        exact_divergence(*models, tokens, 1, 1, Lenience(0.5))


def test_the_last_distribution_of_a_model_that_gives_only_one():
    with pytest.raises(ValueError, match="is not a distribution"):
        exact_divergence(*[lambda tokens: np.array(GOOD)] * 2, [0], 1, 1, Lenience(0.5))


def test_drafts_whose_distribution_cannot_be_read():
    for draft in ("lookup", None, toy_head(24, toy(0).model.config, (0, 1, 2, 4))):
        with pytest.raises(ModelError, match="the draft is .*give what load makes"):
            measured_divergence(toy(0), draft, [[1]], Lenience(0.5))
    with pytest.raises(ModelError, match="the target is .*give what load makes"):
        measured_divergence("tiny", toy(0), [[1]], Lenience(0.5))


def test_a_draft_of_another_tokenizer_with_as_many_tokens():
    first, second = (
        LanguageModel(network(i, 1, vocabulary=3), Pieces(*letters), "letters")
        for i, letters in enumerate(("abc", "bac"))
    )
    with pytest.raises(ModelError, match="has another tokenizer than the target"):
        measured_divergence(first, second, [[0]], Lenience(0.5))
