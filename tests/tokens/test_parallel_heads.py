"""Heads that propose several tokens at once: what they read, the tree, and the exact text."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts.fit_heads import BEYOND, examples
from ensemble_lab.tokens.drafts.heads_draft import best_nodes
from ensemble_lab.tokens.drafts.parallel_heads import ParallelHeads
from ensemble_lab.tokens.sampling import Sampling
from tests.support.toy_lm import counted, drawn, exact_distribution, p_value, toy

PROMPTS = [[4], [1, 2, 3], [5, 0, 0, 2, 1, 3, 4]]
HITS = [[0.5, 0.2, 0.1], [0.4, 0.2, 0.1], [0.3, 0.1, 0.05]]
ROWS, LEVEL = 4000, 1e-5


def heads_of(target, hits=HITS, seed=3):
    """Heads with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = ParallelHeads(target.model.config.hidden_size, len(hits), {"hits": hits})
        torch.nn.init.normal_(made.down, std=0.5)
    return made.double()


def likeliest_of(heads, model, text):
    """The tokens (K, V) in the order of each head, by the definition: no cache, a loop."""
    states = model.model(torch.tensor([text]), use_cache=False).last_hidden_state[0]
    last, found = states[-2], []
    for up, down in zip(heads.up, heads.down):
        inner = last @ up
        found.append(model.lm_head(last + (inner * inner.sigmoid()) @ down))
    return torch.stack(found).argsort(-1, descending=True)


@torch.inference_mode()
@pytest.mark.parametrize("gamma", [1, 2, 3, 5])
def test_every_round_proposes_what_the_definition_gives(gamma):
    target = toy(0)
    heads, prompts = heads_of(target), PROMPTS[1:]  # one token has no state before it
    for prompt, made in zip(
        prompts, decode(target, prompts, heads, gamma=gamma, max_new_tokens=24)
    ):
        text = list(prompt)
        for one in made.rounds:
            expected = likeliest_of(heads, target.model, text)[:, 0].tolist()
            assert one.proposed == tuple(expected[: min(gamma, 3)][: len(one.proposed)])
            text += one.tokens
        assert sum(len(r.proposed) for r in made.rounds)


@pytest.mark.parametrize("gamma", [1, 4, 9, 30])
def test_the_greedy_text_is_the_targets_own(gamma):
    target = toy(0)
    heads, plain = heads_of(target), decode(target, PROMPTS, max_new_tokens=24)
    accepted = []
    for draft in (heads, heads.tree()):
        made = decode(target, PROMPTS, draft, gamma=gamma, max_new_tokens=24)
        assert [one.tokens for one in made] == [one.tokens for one in plain]
        accepted.append(sum(r.accepted for one in made for r in one.rounds))
    assert accepted[1] > 0


@pytest.mark.parametrize("gamma", [2, 6])
def test_sampled_tokens_follow_the_targets_distribution(gamma):
    target, rule = toy(0, hidden=8), {"temperature": 0.8}
    heads = heads_of(target)
    distribution = exact_distribution(target, Sampling(**rule), PROMPTS[1], 3)
    for draft in (heads, heads.tree()):
        made = drawn(target, [PROMPTS[1]] * ROWS, draft, 3, seed=1, gamma=gamma,
                     max_new_tokens=12, **rule)  # fmt: skip
        assert p_value((counted(made), distribution)) > LEVEL


# The tree


def worth(nodes, hits):
    """The expected accepted tokens of a tree: the sum over its nodes of their paths' products."""
    chances = []
    for parent, depth, rank in nodes:
        chances.append((chances[parent] if parent >= 0 else 1.0) * hits[depth][rank])
    return sum(chances)


def trees(hits, most):
    """All trees of paths of ranks, as sets of paths, that hold each path's beginnings."""
    paths = [p for n in range(1, len(hits) + 1) for p in product(range(len(hits[0])), repeat=n)]
    found = {frozenset()}
    for _ in range(most):
        found = {
            tree | {p}
            for tree in found
            for p in paths
            if p not in tree and (len(p) == 1 or p[:-1] in tree)
        }
    return found


@given(
    st.lists(st.lists(st.floats(0.01, 0.3), min_size=2, max_size=2), min_size=2, max_size=2),
    st.integers(1, 4),
)
def test_no_tree_of_as_many_nodes_is_worth_more(hits, most):
    hits = [sorted(row, reverse=True) for row in hits]
    nodes = best_nodes(hits, most, 10)
    best = 0.0
    for tree in trees(hits, most):
        value = 0.0
        for path in tree:
            chance = 1.0
            for depth, rank in enumerate(path):
                chance *= hits[depth][rank]
            value += chance
        best = max(best, value)
    assert worth(nodes, hits) == pytest.approx(best, abs=1e-12)
    assert len(nodes) == most and all(parent < i for i, (parent, _, _) in enumerate(nodes))


def test_a_tree_by_hand():
    # .5, then .4 * .5 = .2 beside the second child's .2, then .3 * .2 = .06 and so on
    assert best_nodes(HITS, 1, 9) == [(-1, 0, 0)]
    assert sorted(best_nodes(HITS, 3, 9)) == [(-1, 0, 0), (-1, 0, 1), (0, 1, 0)]
    assert len(best_nodes(HITS, 99, 9)) == 3 + 9 + 27
    assert len(best_nodes(HITS, 99, 2)) == 2 + 4 + 8


# Training


@torch.inference_mode()
def test_states_and_tokens_are_those_of_the_places_that_follow():
    target = toy(0)
    text = [1, 2, 3, 4, 5, 0]
    states, tokens = examples(target, [(2, text)], 2)
    # From state 1 the target writes token 2, so the heads name tokens 3 and 4.
    assert tokens.tolist() == [[4, 5], [5, 0], [0, BEYOND]]
    whole = target.model.model(torch.tensor([text])).last_hidden_state[0]
    assert torch.allclose(states, whole[1:4].float())


@pytest.fixture(scope="module")
def fitted():
    """Heads for tiny in float64, trained for a few seconds."""
    tiny = lab.load("tiny", dtype="float64")
    tasks = [task + "\n" for task in dict.fromkeys(lab.load_texts()["task"]) if task][:48]
    how = {"steps": 60, "max_new_tokens": 32, "seed": 0, "progress": False}
    return tiny, tasks, ParallelHeads.fit(tiny, tasks, **how), how


def test_trained_heads_know_more_of_nearer_tokens(fitted, tmp_path):
    tiny, tasks, heads, _ = fitted
    first = [row[0] for row in heads.hits]
    assert first[0] > 0.12 and first[0] > first[2]  # untrained ones name the wrong token's place
    assert all(0 <= share <= 1 for row in heads.hits for share in row)
    plain = decode(tiny, tasks[:2], max_new_tokens=16)
    heads.save(tmp_path / "heads.safetensors")
    read = ParallelHeads.read(tmp_path / "heads.safetensors")
    assert read.about == heads.about
    for draft in (heads, heads.tree(), read):
        made = decode(tiny, tasks[:2], draft, gamma=3, max_new_tokens=16)
        assert [one.tokens for one in made] == [one.tokens for one in plain]
        assert sum(r.accepted for one in made for r in one.rounds) > 0


def test_a_seed_makes_training_repeatable(fitted):
    tiny, tasks, _, how = fitted
    few = how | {"steps": 2, "max_new_tokens": 8}
    one, two = (ParallelHeads.fit(tiny, tasks[:16], **few) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))


def test_an_interrupt_keeps_what_was_learned(fitted, monkeypatch):
    tiny, tasks, _, how = fitted
    steps = []

    class Stopped(torch.optim.AdamW):
        def step(self, *args):
            steps.append(1)
            if len(steps) == 3:
                raise KeyboardInterrupt
            return super().step(*args)

    monkeypatch.setattr(torch.optim, "AdamW", Stopped)
    made = ParallelHeads.fit(tiny, tasks[:16], **how | {"max_new_tokens": 8})
    assert len(steps) == 3 and made.hits and made.down.abs().sum() > 0


# Bad input


def test_heads_of_another_model_are_refused(fitted):
    tiny, _, heads, _ = fitted
    with pytest.raises(ModelError, match="states of 128 numbers of .*ParallelHeads.fit") as said:
        decode(toy(0), PROMPTS, heads, gamma=2)
    assert len(str(said.value)) <= 300
    other = ParallelHeads(128, 2, {"vocabulary": "another"})
    with pytest.raises(ModelError, match="or other tokens"):
        decode(tiny, "a", other, gamma=2)


def test_heads_that_were_not_judged_draw_no_tree():
    with pytest.raises(ModelError, match=r"ParallelHeads\.fit"):
        ParallelHeads(8).tree()


def test_what_cannot_be_trained_is_refused(fitted):
    tiny, tasks, _, _ = fitted
    for wrong in ({"steps": 0}, {"heads": 0}, {"steps": 1.5}, {"seed": "a"}, {"max_new_tokens": 0}):
        with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
            ParallelHeads.fit(tiny, tasks[:16], progress=False, **wrong)
    with pytest.raises(ModelError, match="3 prompts are too few"):
        ParallelHeads.fit(tiny, tasks[:3], progress=False)
    with pytest.raises(ModelError, match="no text is long enough for 9 heads"):
        ParallelHeads.fit(tiny, tasks[:16], 9, steps=1, max_new_tokens=4, progress=False)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "heads.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError):
        ParallelHeads.read(path)
