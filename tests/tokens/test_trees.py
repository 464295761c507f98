"""Draft trees: exact by enumeration, greedily the plain text, and every planted fault is seen."""

import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens import session, trace, verification
from ensemble_lab.tokens.accept_trees import TWINS, accept_tree
from ensemble_lab.tokens.decode import decode, stream
from ensemble_lab.tokens.drafts.base import Proposal
from ensemble_lab.tokens.lengths import FixedLength
from ensemble_lab.tokens.reading import cache, reader
from ensemble_lab.tokens.reading.rows import Rows
from ensemble_lab.tokens.reading.states import StateReader
from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.session import Session
from ensemble_lab.tokens.trees import tree_of
from tests.support.toy_lm import counted, drawn, exact_distribution, mutant, p_value, toy

FEW = 4  # tokens of the small vocabulary
PROMPT = [1, 2, 3]
RAGGED = [[4], [1, 2, 3], [5, 0, 0, 2, 1, 3, 4], [2, 4, 4, 1, 0, 5]]
NEW = 24


class FixedTree:
    """The same tree in every round: tokens and their parents, cut to what is asked for."""

    def __init__(self, tokens, parents):
        self.tokens, self.parents = list(tokens), list(parents)

    def begin(self, rows, sampling, generator):
        pass

    def propose(self, rows, most):
        tokens = torch.tensor(self.tokens[:most]).expand(len(rows), -1)
        many = len(rows)
        return Proposal(tokens, [tokens.shape[1]] * many, parents=[self.parents[:most]] * many)


# Two branches of depth 2, one of which forks, in an order in which no path is contiguous.
FORKED = FixedTree([0, 1, 2, 3, 0], [-1, -1, 0, 1, 1])


class Knowing:
    """Knows each row's text, hides it in a tree of wrong tokens, and is sometimes wrong itself.

    The trees of the rows differ in size and form, and from round to round. Behind the last drafted
    token of a row stands what the target would write there: padding that looks right.
    """

    def __init__(self, texts, size, seed=0):
        self.texts, self.size, self.rng = texts, size, np.random.default_rng(seed)

    def begin(self, rows, sampling, generator):
        self.own = {tuple(text[:n]): text for text in self.texts for n in range(len(text))}

    def propose(self, rows, most):
        trees = [self._row(text, most) for text in rows.texts]
        counts = [len(tokens) for tokens, _ in trees]
        k = max(counts)
        right = [self._next(text) for text in rows.texts]
        table = [[*t, *[x] * (k - len(t))] for (t, _), x in zip(trees, right)]
        return Proposal(
            torch.tensor(table, dtype=torch.long), counts, parents=[p for _, p in trees]
        )

    def _next(self, text):
        whole = self.own.get(tuple(text), text)
        return whole[len(text)] if len(whole) > len(text) else 0

    def _row(self, text, most):
        tokens, parents, path = [], [], list(text)
        trunk = -1  # the node behind which the right token belongs
        count = int(self.rng.integers(0, most + 1))
        while len(tokens) < count:
            right = self._next(path)
            taken = {t for t, p in zip(tokens, parents) if p == trunk}
            if right not in taken and self.rng.random() < 0.5:
                tokens.append(right)
                parents.append(trunk)
                trunk, path = len(tokens) - 1, [*path, right]
                continue
            parent = int(self.rng.integers(-1, len(tokens)))
            taken = {t for t, p in zip(tokens, parents) if p == parent}
            taken |= {right} if parent == trunk else set()
            if free := [t for t in range(self.size) if t not in taken]:
                tokens.append(int(self.rng.choice(free)))
                parents.append(parent)
        return tokens, parents


# Exact distributions


@torch.inference_mode()
def first_round(target, draft, gamma, sampling):
    """The joint distribution of the first n tokens, n the most that a round can write.

    The target's token at every node is drawn in every possible way, a row each, and weighs what p
    says; where a round writes less than n tokens, the target goes on.
    """
    size, k = FEW, gamma
    ways = torch.tensor(list(itertools.product(range(size), repeat=k + 1)))  # (W, k + 1)
    weight = []

    def every(p, generator):
        weight.append(p.gather(2, ways[..., None])[..., 0].prod(-1))
        return ways

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(verification, "sampled", every)
        made = iter(
            stream(
                target,
                [PROMPT] * len(ways),
                draft,
                gamma=gamma,
                max_new_tokens=k + 2,
                temperature=sampling.temperature,
            )
        )
        rounds = next(made)
    n = k + 1
    shares = defaultdict(float)  # of what the round wrote
    for one, share in zip(rounds, weight[0].tolist()):
        shares[one.tokens] += share
    joint = torch.zeros((size,) * n, dtype=torch.float64)
    for text, share in shares.items():
        joint[text] += share * exact_distribution(target, sampling, [*PROMPT, *text], n - len(text))
    return joint, max(one.accepted for one in rounds)


TREES = {
    "one": ([2], [-1], 1),
    "siblings": ([0, 3, 1], [-1, -1, -1], 1),
    "two branches": ([1, 0, 2, 3], [-1, -1, 1, 0], 2),
    "forked": ([3, 1, 0, 2], [-1, 0, 0, 1], 3),
    "chain": ([0, 1, 2], [-1, 0, 1], 3),
}


@pytest.mark.parametrize("name", TREES)
def test_the_first_tokens_follow_the_target_exactly(name):
    tokens, parents, depth = TREES[name]
    target, sampling = toy(0, vocabulary=FEW), Sampling(0.9)
    joint, deepest = first_round(target, FixedTree(tokens, parents), len(tokens), sampling)
    exact = exact_distribution(target, sampling, PROMPT, len(tokens) + 1)
    assert deepest == depth
    assert (joint - exact).abs().max() < 1e-12


WALKS = {
    "padding and all accepted": ("right = (drafted == choices.gather(1, tree.parent)) & real",
                                 "right = real"),
    "ancestors do not count": ("~(tree.sees & ~right[:, None]).any(-1)", "right"),
    "another node's choice": ("choices.gather(1, last[:, None])", "choices.roll(-1, 1)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WALKS)
def test_enumeration_sees_a_wrong_walk(monkeypatch, fault):
    monkeypatch.setattr(verification, "accept_tree", mutant(accept_tree, *WALKS[fault]))
    tokens, parents, _ = TREES["two branches"]
    target, sampling = toy(0, vocabulary=FEW), Sampling(0.9)
    joint, _ = first_round(target, FixedTree(tokens, parents), len(tokens), sampling)
    assert (joint - exact_distribution(target, sampling, PROMPT, 5)).abs().max() > 1e-3


def sampled_texts(rows=4000):
    """p-value of three sampled tokens, of which the later ones stand on moved keys."""
    target, rule = toy(0, hidden=8), {"temperature": 1.2}
    made = drawn(target, [PROMPT] * rows, FORKED, 3, seed=3, gamma=5, max_new_tokens=12, **rule)
    return p_value((counted(made), exact_distribution(target, Sampling(**rule), PROMPT, 3)))


def test_sampled_texts_follow_the_target():
    assert sampled_texts() > 1e-3


# Greedy texts, and what every round reads


def knowing(target, seed=0):
    plain = decode(target, RAGGED, max_new_tokens=NEW)
    texts = [[*prompt, *one.tokens] for prompt, one in zip(RAGGED, plain)]
    return Knowing(texts, target.model.config.vocab_size, seed), texts


@torch.inference_mode()
def check_rounds(target, seed=0, close=1e-9):
    """Texts are the plain ones, and at every node stand the logits that its path has by itself."""
    draft, texts = knowing(target, seed)
    decoding = stream(target, RAGGED, draft, gamma=7, max_new_tokens=NEW)
    seen, before = [], decoding.session.reader.read
    honest = draft.propose

    def propose(rows, most):
        seen.append([honest(rows, most), [list(text) for text in rows.texts]])
        return seen[-1][0]

    def read(tokens, at, tree=None):
        logits = before(tokens, at, tree)
        if tree is not None:
            seen[-1].append(logits)
        return logits

    decoding.session.reader.read, draft.propose = read, propose
    deep = moved = 0
    for rounds in decoding:
        for one in filter(None, rounds):
            assert one.proposed[: one.accepted][: len(one.tokens)] == one.tokens[: one.accepted]
            deep = max(deep, one.accepted)
    for proposal, before, logits in seen:
        for i, (text, n) in enumerate(zip(before, proposal.counts)):
            if len(text) >= len(texts[i]):
                continue  # it had ended
            paths = [[]]
            for token, parent in zip(proposal.tokens[i, :n].tolist(), proposal.parents[i]):
                paths.append([*paths[parent + 1], token])
            moved += any(len(path) > 1 for path in paths)
            for j, path in enumerate(paths):
                alone = target.model(torch.tensor([[*text, *path]]), use_cache=False).logits[0, -1]
                torch.testing.assert_close(logits[i, j], alone, rtol=0, atol=close)
    made = [[*prompt, *one.tokens] for prompt, one in zip(RAGGED, decoding.generations)]
    assert made == texts
    assert deep > 1 and moved  # else this would show little


CLOSE = {"sdpa": 1e-9, "eager": 1e-5}  # eager attention takes its softmax in float32


@pytest.mark.parametrize("attention", CLOSE)
@pytest.mark.parametrize("seed", range(3))
def test_greedy_trees_write_the_plain_text(attention, seed):
    check_rounds(toy(0, attn_implementation=attention), seed, CLOSE[attention])


@pytest.mark.parametrize("draft_seed", range(3))
def test_one_row_alone(draft_seed):
    target = toy(0)
    for prompt in RAGGED:
        plain = decode(target, prompt, max_new_tokens=NEW)
        draft = Knowing([[*prompt, *plain.tokens]], 6, draft_seed)
        made = decode(target, prompt, draft, gamma=6, max_new_tokens=NEW)
        assert made.tokens == plain.tokens and made.acceptance > 0


def sibling_stays(self, there, here):
    """The token of the path is written, but where it lay its sibling's keys are read."""
    kept = self.values
    shape = -1, kept.shape[1], -1, kept.shape[3]
    source, goal = (x[:, None, :, None].expand(shape) for x in (there, here))
    kept.scatter_(2, goal, kept.gather(2, source))


FAULTS = {
    "wrong mask": (
        reader.Reader,
        "_place",
        "text.scatter_(2, positions[:, None].expand(-1, k, -1), tree.sees)",
        "text.scatter_(2, positions[:, None].expand(-1, k, -1), tree.sees | True)",
    ),
    "a chain's mask": (reader.Reader, "_place", "mask = text.scatter_", "text.scatter_"),
    "wrong position": (
        reader.Reader,
        "_place",
        "positions = at.start[:, None] + tree.depth",
        "positions = positions",
    ),
    "path not moved": (session.Session, "round", "self.reader.settle(path, at.ahead(1))", "pass"),
    "path moved one place too far": (session.Session, "round", "at.ahead(1))", "at.ahead(2))"),
    "tokens in the proposal's order": (
        session.Session,
        "round",
        "drafted = drafted.gather(1, path)",
        "drafted = drafted",
    ),
    "a sibling's key stays": (cache.RowLayer, "take", sibling_stays, None),
    "padding is accepted": (verification, "accept_tree",
                            "tree.parent)) & real", "tree.parent))"),
    "no correction": (verification, "accept_tree",
                      "follow = choices.gather(1, last[:, None])[:, 0]", "follow = choices[:, 0]"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(monkeypatch, fault):
    where, name, old, new = FAULTS[fault]
    made = old if new is None else mutant(getattr(where, name), old, new)
    monkeypatch.setattr(where, name, made)
    with pytest.raises((AssertionError, ModelError)):
        check_rounds(toy(0))


def test_a_chain_written_as_a_tree_is_the_chain():
    """Parents of a chain, and none: round for round the same."""
    target = toy(0)

    class AsTree(FixedTree):
        def propose(self, rows, most):
            return replace(super().propose(rows, most), parents=None)

    chain = list(range(4)), [-1, 0, 1, 2]
    for prompt in RAGGED:
        made = [
            [
                (r.proposed, r.accepted, r.tokens)
                for r in decode(target, prompt, kind(*chain), gamma=4, max_new_tokens=NEW).rounds
            ]
            for kind in (FixedTree, AsTree)
        ]
        assert made[0] == made[1]


# The states that a head reads


@torch.inference_mode()
def states_of(rounds):
    """A reader that keeps states, after so many rounds of trees, and its rows."""
    target = toy(0)
    rows = Rows(RAGGED, 48, torch.device("cpu"))
    kept = StateReader(target.model, *rows.tokens.shape)
    limits = [len(prompt) + NEW for prompt in RAGGED]
    settings = Sampling(), torch.Generator(), knowing(target)[0], FixedLength(7)
    decoding = Session(kept, rows, limits, (), *settings)
    decoding.begin()
    for _ in range(rounds):
        decoding.round()
    return target, kept, rows


@torch.inference_mode()
def check_states():
    target, kept, rows = states_of(5)
    for i, text in enumerate(rows.texts):
        alone = target.model.model(torch.tensor([text[:-1]]), use_cache=False).last_hidden_state[0]
        torch.testing.assert_close(kept.states[i, : len(text) - 1], alone, rtol=0, atol=1e-9)


def test_states_are_moved_with_their_tokens(monkeypatch):
    check_states()
    monkeypatch.setattr(StateReader, "_move", reader.Reader._move)
    with pytest.raises(AssertionError):
        check_states()


# The structure, which is kept between rounds


@pytest.mark.parametrize(
    "parents", [[-1.0, 0.0], [False, True], [-1, 1], [-2, 0], [-1], [[-1, 0]], -1, ["-1", "0"]]
)
def test_a_tree_that_was_seen_before_does_not_let_a_wrong_one_pass(parents):
    tokens = torch.tensor([[3, 1]])
    right = tree_of(Proposal(tokens, [2], parents=[[-1, 0]]))
    assert right.depth.tolist() == [[0, 1, 2]]
    with pytest.raises(ModelError, match=r"parents .* of 2 drafted tokens: give each the index"):
        tree_of(Proposal(tokens, [2], parents=[parents]))


def test_a_tree_is_the_same_from_any_kind_of_integers_and_by_any_count():
    tokens = torch.tensor([[3, 1, 0], [3, 1, 0]])
    one = tree_of(Proposal(tokens, [3, 2], parents=[[-1, -1, 0], [-1, 0, 0]]))
    assert one.parent.tolist() == [[0, 0, 1], [0, 1, 0]]  # padding hangs on the root
    assert one.depth.tolist() == [[0, 1, 1, 2], [0, 1, 2, 1]]
    for kind in (tuple, np.array, lambda p: np.array(p, np.uint8) if min(p) >= 0 else list(p)):
        again = tree_of(Proposal(tokens, [3, 2], parents=[kind([-1, -1, 0]), kind([-1, 0, 0])]))
        assert all(torch.equal(a, b) for a, b in zip(one, again))
    assert not one.parent.is_inference()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(data=st.data())
def test_entries_move_as_the_path_says(data):
    """Places may overlap: all are read before any is written."""
    rows, k = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    place = cache.Place()
    place.rows = torch.arange(rows)[:, None]
    layer = cache.RowLayer(place, rows, 9)
    layer.lazy_initialization(*torch.rand(2, 1, 2, 1, 3))
    layer.keys.uniform_(), layer.values.uniform_()
    before = layer.keys.clone(), layer.values.clone()
    start = torch.tensor([[data.draw(st.integers(0, 4))] for _ in range(rows)])
    path = [sorted(data.draw(st.permutations(range(5)))[:k]) for _ in range(rows)]
    layer.take(start + torch.tensor(path), start + torch.arange(k))
    for kept, was in zip((layer.keys, layer.values), before):
        for row in range(rows):
            right, at = was[row].clone(), int(start[row])
            right[:, at : at + k] = was[row][:, [at + p for p in path[row]]]
            assert torch.equal(kept[row], right)


# The walk by definition


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_walk_is_the_walk(data):
    """Brute force: from the root on, the child that holds the choice, as long as there is one."""
    k = data.draw(st.integers(0, 6))
    count = data.draw(st.integers(0, k))
    parents = [data.draw(st.integers(-1, j - 1)) for j in range(k)]
    tokens = torch.tensor([[data.draw(st.integers(0, 3)) for _ in range(k)]]).long().reshape(1, k)
    choices = torch.tensor([[data.draw(st.integers(-1, 3)) for _ in range(k + 1)]])
    tree = tree_of(Proposal(tokens, [count], parents=[parents]))
    found = accept_tree(choices, tokens, torch.tensor([count]), tree)
    pairs = list(zip(parents[:count], tokens[0].tolist()))
    if len(set(pairs)) < count:
        assert found[0].item() == 0 and found[1].item() == TWINS
        return
    at, path = -1, []
    while (at, choices[0, at + 1].item()) in pairs:
        at = pairs.index((at, choices[0, at + 1].item()))
        path.append(at)
    accepted, follow, order = (x[0].tolist() for x in found)
    assert (accepted, follow) == (len(path), choices[0, at + 1].item())
    assert order[:accepted] == path and sorted(order) == list(range(k))


# What is refused


def proposing(**changes):
    class Changed(FixedTree):
        def propose(self, rows, most):
            proposal = super().propose(rows, most)
            return replace(proposal, **{k: make(proposal) for k, make in changes.items()})

    return Changed([0, 1], [-1, -1])


REFUSED = {
    "states": (
        {"states": lambda p: torch.zeros(*p.tokens.shape, 16).double()},
        "a draft tree with `states`.*leave out",
    ),
    "rows": ({"parents": lambda p: [[-1, -1]]}, "parents for 1 rows; there are 2"),
    "fewer": ({"parents": lambda p: [[-1]] * 2}, r"parents \[-1\] of 2 drafted tokens: give each"),
    "behind": ({"parents": lambda p: [[-1, 1]] * 2}, r"parents \[-1, 1\] of 2 .* before it, or -1"),
    "below": ({"parents": lambda p: [[-2, -1]] * 2}, r"parents \[-2, -1\] of 2"),
    "parts": ({"parents": lambda p: [[-1, -0.5]] * 2}, r"parents \[-1, -0.5\] of 2"),
    "twins": (
        {"tokens": lambda p: p.tokens * 0},
        "gives one token two children that are the same; propose each once",
    ),
}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_tree_is_refused(what, temperature):
    changes, message = REFUSED[what]
    asked = {"gamma": 2, "max_new_tokens": 8, "temperature": temperature}
    with pytest.raises(ModelError, match=message) as told:
        decode(toy(0), [PROMPT, [4]], proposing(**changes), **asked)
    assert len(str(told.value)) <= 300


def test_other_refusals(monkeypatch):
    monkeypatch.setattr("ensemble_lab.tokens.reading.compiled.BACKEND", "eager")
    with pytest.raises(ModelError, match="read no draft tree: use compiled=False"):
        decode(toy(0), PROMPT, FORKED, gamma=5, compiled=True)
    with pytest.raises(ModelError, match="is not measured: give a gamma"):
        decode(toy(0), PROMPT, FORKED)
    with pytest.raises(ModelError, match="trace a draft that writes a chain"):
        trace(toy(0), PROMPT, FORKED, gamma=5)
