"""Draft trees of a model and a head: what they propose, that the text is the target's, the cost.

The familywise level of the statistics is 0.001.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens import accept_trees, choosing, verification
from ensemble_lab.tokens.accept_trees import accept_branches
from ensemble_lab.tokens.branches import verify_children
from ensemble_lab.tokens.choosing import TreeOrChain
from ensemble_lab.tokens.decode import decode, stream
from ensemble_lab.tokens.drafts.base import Proposal
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.drafts.trees import DraftTree
from ensemble_lab.tokens.hits import hits_by_depth
from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.shapes import best_shape
from ensemble_lab.tokens.trees import tree_of
from tests.support.toy_lm import counted, drawn, exact_distribution, mutant, p_value, toy, toy_head

IDS = (0, 1, 2, 4)
RAGGED = [[4], [1, 2, 3], [5, 0, 0, 2, 1, 3, 4], [2, 4, 4, 1, 0, 5]]
SHAPE = (-1, -1, 0, 0, 1, 2, -1)
PLANS = {
    "shape": {"shape": SHAPE},
    "small": {"nodes": 5, "width": 2, "depth": 3},
    "large": {"nodes": 16, "width": 3, "depth": 5},
}
LEVEL = 0.001 / 6


def draft_of(kind, target, seed=1):
    if kind == "head":
        return toy_head(24, target.model.config, IDS).attach(target.model)
    return toy(seed, layers=1, hidden=target.model.config.hidden_size)


# What is proposed, by definition


@torch.inference_mode()
def chances_behind(kind, target, draft, text, path):
    """log q (V,) after a path behind a text, read without any cache."""
    if kind == "model":
        return draft.model(torch.tensor([[*text, *path]]), use_cache=False).logits[0, -1]
    states = target.model.model(torch.tensor([text]), use_cache=False).last_hidden_state
    states = torch.nn.functional.pad(states, (0, 0, 1, -1))
    whole = [*text, *path]
    for n in range(len(text), len(whole) + 1):
        where = torch.arange(n)[None]
        made = draft.step(states, torch.tensor([whole[:n]]), position_ids=where)
        states = torch.cat([states, made[:, -1:]], 1)
    return draft.logits(made[0, -1])


def proposals(kind, plan, **settings):
    """Every proposal of a decoding, with the texts before it."""
    target = toy(0)
    draft, seen = draft_of(kind, target), []
    decoding = stream(target, RAGGED, DraftTree(draft, **plan), max_new_tokens=20, **settings)
    honest = decoding.session.draft.propose

    def propose(rows, most):
        seen.append(([list(text) for text in rows.texts], most, honest(rows, most)))
        return seen[-1][-1]

    decoding.session.draft.propose = propose
    for _ in decoding:
        pass
    return target, draft, seen


def paths_of(tokens, parents):
    paths = [[]]
    for token, parent in zip(tokens, parents):
        paths.append([*paths[parent + 1], token])
    return paths


@pytest.mark.parametrize("kind", ["model", "head"])
def test_a_shape_holds_the_likeliest_children(kind):
    target, draft, seen = proposals(kind, PLANS["shape"], gamma=7)
    ids = torch.tensor(IDS if kind == "head" else range(6))
    for texts, most, made in seen:
        assert made.probabilities is None and made.tokens.shape[1] == min(most, 7)
        for text, tokens, parents in zip(texts, made.tokens.tolist(), made.parents):
            paths = paths_of(tokens, parents)
            for node in range(-1, len(tokens)):
                mine = [i for i, parent in enumerate(parents) if parent == node]
                scores = chances_behind(kind, target, draft, text, paths[node + 1])
                likely = ids[scores.topk(len(mine)).indices].tolist()
                assert [tokens[i] for i in mine] == likely


@pytest.mark.parametrize("kind", ["model", "head"])
def test_sampled_children_stand_with_what_they_were_drawn_from(kind):
    rule = {"temperature": 1.3, "top_p": 0.9}
    target, draft, seen = proposals(kind, PLANS["shape"], gamma=7, seed=2, **rule)
    for texts, _, made in seen[:4]:
        for i, (text, tokens, parents) in enumerate(zip(texts, made.tokens.tolist(), made.parents)):
            paths = paths_of(tokens, parents)
            for j, parent in enumerate(parents):
                scores = chances_behind(kind, target, draft, text, paths[parent + 1])
                q = torch.zeros(6, dtype=torch.float64)
                q[list(IDS) if kind == "head" else slice(None)] = Sampling(**rule).distribution(
                    scores
                )
                torch.testing.assert_close(made.probabilities[i, j], q, rtol=0, atol=1e-9)


def grown(kind, target, draft, text, nodes, width, depth):
    """EAGLE-2's rule on paths: expand the best of a level, then keep the best of all."""
    ids = IDS if kind == "head" else range(6)
    level, found = [((), 0.0)], []
    for _ in range(depth):
        below = []
        for path, score in level:
            q = chances_behind(kind, target, draft, text, path).log_softmax(-1)
            best = q.topk(width).indices.tolist()
            below += [((*path, ids[i]), score + float(q[i])) for i in best]
        found += below
        level = sorted(below, key=lambda one: -one[1])[:width]
    return {path for path, _ in sorted(found, key=lambda one: -one[1])[:nodes]}


@pytest.mark.parametrize("plan", ["small", "large"])
@pytest.mark.parametrize("kind", ["model", "head"])
def test_a_grown_tree_holds_the_likeliest_paths(kind, plan):
    target, draft, seen = proposals(kind, PLANS[plan], gamma=16)
    deep = 0
    for texts, most, made in seen[:6]:
        nodes, width, depth = (PLANS[plan][name] for name in ("nodes", "width", "depth"))
        nodes, width = min(nodes, most), min(width, most)
        depth = min(depth, 1 + nodes // width)
        for text, tokens, parents in zip(texts, made.tokens.tolist(), made.parents):
            paths = [tuple(path) for path in paths_of(tokens, parents)[1:]]
            assert len(set(paths)) == len(paths)
            assert set(paths) == grown(kind, target, draft, text, nodes, width, depth)
            deep = max(deep, *map(len, paths))
    assert deep > 2


# The text


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("kind", ["model", "head"])
def test_greedy_text_is_the_plain_one(kind, plan):
    target = toy(0)
    plain = [one.tokens for one in decode(target, RAGGED, max_new_tokens=24)]
    tree = DraftTree(draft_of(kind, target), **PLANS[plan])
    for gamma in (1, 3, 16):
        made = decode(target, RAGGED, tree, gamma=gamma, max_new_tokens=24)
        assert [one.tokens for one in made] == plain
    assert sum(r.accepted for one in made for r in one.rounds) > 9


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_tree_larger_than_the_room_left_is_cut(room):
    target = toy(0)
    prompt = [1, 2, 3, 4] * 15 + [1, 2, 3]
    prompt = prompt[: 64 - room]
    for kind in ("model", "head"):
        made = decode(target, prompt, DraftTree(draft_of(kind, target)), gamma=16)
        assert made.tokens == decode(target, prompt).tokens and len(made.tokens) == room


def p_of(kind, plan, rule, n=3, rows=4000):
    target = toy(0, hidden=8)
    tree = DraftTree(draft_of(kind, target), **PLANS[plan])
    made = drawn(target, [[1, 2, 3]] * rows, tree, n, seed=3, gamma=7, max_new_tokens=14, **rule)
    return p_value((counted(made), exact_distribution(target, Sampling(**rule), [1, 2, 3], n)))


@pytest.mark.parametrize(
    "kind, plan, rule",
    [
        ("model", "shape", {"temperature": 1.3}),
        ("head", "shape", {"temperature": 1.0, "top_p": 0.8}),
        ("head", "small", {"temperature": 1.3}),
    ],
)
def test_sampled_texts_follow_the_target(kind, plan, rule):
    assert p_of(kind, plan, rule) > LEVEL


FAULTS = {
    "the child stays in q": ("left.scatter(1, x[:, None], 0.0)", "left"),
    "p stays": ("torch.where(wrong, excess, rest)", "rest"),
    "another parent's q": ("q[:, j], left)", "q[:, 0], left)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_statistics_see_a_planted_fault(monkeypatch, fault):
    monkeypatch.setattr(verification, "accept_branches", mutant(accept_branches, *FAULTS[fault]))
    assert p_of("model", "shape", {"temperature": 1.3}) < LEVEL


class Dice:
    """Gives the numbers that it is told, and keeps the distribution of the last choice."""

    def __init__(self, numbers):
        self.numbers = iter(numbers)

    def random(self):
        return next(self.numbers)

    def choice(self, n, p):
        self.behind = p
        return 0


def walked(p, q, tokens, parents, r):
    """The walk by `verify_children`, node by node: the path, and what the next token comes from."""
    at, path = -1, []
    while True:
        mine = [i for i, parent in enumerate(parents) if parent == at and q[i, tokens[i]] > 0]
        dice = Dice([r[i] for i in mine])
        if not mine:
            return path, p[at + 1]
        index, _ = verify_children(
            p[at + 1].tolist(), q[mine[0]].tolist(), [tokens[i] for i in mine], dice
        )
        if index is None:
            return path, dice.behind
        at = mine[index]
        path.append(at)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_walk_is_that_of_the_plain_rule(data):
    """With the same random numbers: whose chances is exact is this rule's walk at every node."""
    size, k = 5, data.draw(st.integers(1, 7))
    count, seed = data.draw(st.integers(0, k)), data.draw(st.integers(0, 10**6))
    parents = [data.draw(st.integers(-1, j - 1)) for j in range(k)]
    rng = torch.Generator().manual_seed(seed)
    weights = torch.rand(2 * k + 2, size, generator=rng, dtype=torch.float64)
    weights *= torch.rand(weights.shape, generator=rng) > 0.3
    weights[:, 0] += 0.05
    weights /= weights.sum(1, keepdim=True)
    p, of_node = weights[: k + 1], weights[k + 1 :]
    q = of_node[[parent + 1 for parent in parents]]
    order = (of_node / torch.rand(of_node.shape, generator=rng)).argsort(1, descending=True)
    tokens = [
        int(order[parent + 1, parents[:j].count(parent) % size]) for j, parent in enumerate(parents)
    ]
    if len(set(zip(parents[:count], tokens))) < count:
        return
    batch = torch.tensor([tokens]), torch.tensor([count])
    tree = tree_of(Proposal(batch[0], [count], parents=[parents]))
    r = torch.rand((1, k), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    seen = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(accept_trees, "sampled", lambda p, _: seen.append(p) or p.argmax(-1))
        generator = torch.Generator().manual_seed(seed)
        accepted, _, path = accept_branches(p[None], *batch, q[None], tree, generator)
    right, behind = walked(p, q, tokens[:count], parents[:count], r[0].tolist())
    assert path[0, : accepted.item()].tolist() == right
    torch.testing.assert_close(seen[0][0], torch.as_tensor(behind), rtol=0, atol=1e-9)


# Tree or chain


class Clock:
    """Seconds that pass only where a form of round costs them."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def used(monkeypatch, chain, tree, rounds=200):
    """Which forms are used where a chain writes (tokens, seconds) a round, and a tree others."""
    clock, length, forms = Clock(), TreeOrChain(16), []
    monkeypatch.setattr(choosing, "perf_counter", clock)
    for _ in range(rounds):
        length.ask()
        tokens, seconds = chain if length.as_chain else tree
        forms.append("chain" if length.as_chain else "tree")
        clock.now += seconds
        length.learn([[0] * 4], [tokens - 1], 4, 0.0, seconds)
    return forms


def test_a_tree_that_costs_more_than_it_gains_is_not_used(monkeypatch):
    assert used(monkeypatch, (2, 1.0), (3, 4.0))[20:].count("tree") <= 180 / 16 + 1
    assert used(monkeypatch, (2, 1.0), (3, 1.2))[20:].count("chain") <= 180 / 16 + 1


def test_the_form_changes_with_the_cost(monkeypatch):
    clock, length = Clock(), TreeOrChain(16)
    monkeypatch.setattr(choosing, "perf_counter", clock)
    late = []
    for i in range(400):
        length.ask()
        late.append(length.as_chain)
        clock.now += 1.0 if length.as_chain or i < 200 else 5.0
        length.learn([[0] * 4], [1 if length.as_chain else 2], 4, 0.0, 1.0)
    assert sum(late[50:200]) < 20 and sum(late[-100:]) > 85


@pytest.mark.parametrize("kind", ["model", "head"])
def test_chains_and_trees_in_turn_write_the_plain_text(monkeypatch, kind):
    monkeypatch.setattr(choosing, "RETRY", 2)
    target = toy(0)
    made = decode(target, RAGGED, DraftTree(draft_of(kind, target), nodes=12), max_new_tokens=40)
    assert [one.tokens for one in made] == [
        one.tokens for one in decode(target, RAGGED, max_new_tokens=40)
    ]
    sizes = [len(r.proposed) for r in made[0].rounds]
    assert 12 in sizes and any(a != b for a, b in pairwise(sizes))


# What decides about trees, and what a draft may see


def test_hits_by_depth_are_those_of_the_definition():
    target = toy(0)
    head, prompts = draft_of("head", target), RAGGED[1:3]
    found = hits_by_depth(target, prompts, head, most=3, depth=3, max_new_tokens=9)
    counts, tried = torch.zeros(3, 3), torch.zeros(3, 1)
    for prompt in prompts:
        text = [*prompt, *decode(target, prompt, max_new_tokens=9).tokens]
        for root in range(len(prompt), len(text)):
            for d in range(min(3, len(text) - root)):
                path = text[root : root + d]
                scores = chances_behind("head", target, head, text[:root], path)
                likely = [IDS[i] for i in scores.topk(3).indices]
                tried[d] += 1
                if text[root + d] in likely:
                    counts[d, likely.index(text[root + d])] += 1
    assert found == pytest.approx((counts / tried).numpy(), abs=1e-6) and found[1].sum() > 0


def test_a_draft_observes_what_the_target_read():
    target, seen = toy(0), []

    class Watching(LookupDraft):
        def observe(self, tokens, logits):
            seen.append((tokens.clone(), logits.clone()))

    prompt = [1, 2, 3, 1, 2, 3, 1, 2]
    made = decode(target, prompt, Watching(), gamma=3, max_new_tokens=12)
    assert len(seen) == len(made.rounds)
    text = list(prompt)
    for (tokens, logits), one in zip(seen, made.rounds):
        assert tokens[0].tolist() == [text[-1], *one.proposed]
        whole = torch.tensor([[*text, *one.proposed]])
        exact = target.model(whole, use_cache=False).logits[0, len(text) - 1 :]
        torch.testing.assert_close(logits[0], exact, rtol=0, atol=1e-9)
        text += one.tokens


# What is refused


@pytest.mark.parametrize(
    "plan, message",
    [
        ({"shape": (0,)}, r"shape=\(0,\) is no tree"),
        ({"shape": (-1, 2, 1)}, r"shape=\(-1, 2, 1\) is no tree"),
        ({"nodes": 0}, "nodes=0; use 1 to 64"),
        ({"nodes": 65}, "nodes=65; use 1 to 64"),
        ({"width": 0}, "width=0; use 1 to 64"),
        ({"depth": -1}, "depth=-1; use 1 to 64"),
        ({"depth": 1.5}, "depth=1.5"),
    ],
)
def test_a_plan_that_cannot_be(plan, message):
    with pytest.raises((ModelError, ValueError), match=message):
        DraftTree("head", **plan)


def test_shapes_and_chances_as_arrays_and_tensors():
    for kind in (np.array, torch.tensor):
        assert DraftTree("head", kind([-1, 0, -1])).shape == (-1, -1, 0)
        assert best_shape(kind([0.6, 0.2]), 4) == (-1, -1, 0, 2)


@pytest.mark.parametrize("draft", ["lookup", None, 3, "early-exit:1"])
def test_drafts_that_grow_no_tree(draft):
    with pytest.raises(ModelError, match="a tree of draft=.*other drafts write chains"):
        decode(toy(0), [1], DraftTree(draft), gamma=4)


def test_more_children_than_the_draft_has_tokens():
    target = toy(0)
    with pytest.raises(ModelError, match="has 5 children, and the draft knows 4 tokens"):
        decode(target, [1, 2], DraftTree(draft_of("head", target), shape=(-1,) * 5), gamma=5)
