"""The explorer of models that decode together: its texts are those that the package writes."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.catalogue import data_folder
from ensemble_lab.explorers.tokens import together_replay as replay
from ensemble_lab.explorers.tokens.together import LINES, TEXTS
from ensemble_lab.tokens import SpeculativeCascade, big_little
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named, views

MOST = 1_000_000  # bytes

cases = st.tuples(
    st.sampled_from(replay.PAIRS), st.sampled_from(TEXTS), st.sampled_from(replay.RULES),
    st.sampled_from(replay.ALPHAS), st.sampled_from(replay.ROLLBACKS),
)  # fmt: skip


def setting(rule, alpha, rollback):
    return replay.Setting(rule, alpha, rollback if rule == "big-little" else 12)


def test_what_is_recorded_is_small_and_whole():
    assert (data_folder() / "trees/together.json").stat().st_size < MOST
    for pair in replay.PAIRS:
        assert tuple(replay.trees(pair)) == TEXTS
        lengths = {len(column) for column in replay.places(pair)}
        assert len(lengths) == 1 and min(lengths) > 1000
        for tree in replay.trees(pair).values():
            numbers = np.array(tree.nodes)
            assert (numbers[:, 2:4] > 0).all() and (numbers[:, 2:] >= 0).all()
            assert (numbers[:, [2, 3, 5]] <= 1).all()


@settings(max_examples=150, deadline=None)
@given(cases)
def test_every_setting_has_its_text(case):
    pair, text, *numbers = case
    tokens, tree = replay.written(pair, text, setting(*numbers)), replay.trees(pair)[text]
    ended = tokens[-1].token in tree.ends
    assert ended or len(tokens) == replay.recorded()["tokens"]
    assert not any(one.token in tree.ends for one in tokens[:-1])
    for one in tokens:
        if one.by == "small":
            assert one.token == one.node.small and one.rolled_back is None
        if one.by == "large":
            assert one.token == one.node.large
        if one.rolled_back is not None:
            assert one.node.loss > numbers[2] and one.rolled_back == one.node.small != one.token


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("alpha", "rollback"), [(0.4, 5), (0.7, 2), (0.9, 2), (1.0, 12), (0.6, 0)])
def test_big_little_texts_are_the_packages(text, alpha, rollback):
    tree = replay.trees("tiny")[text]
    models = [lab.load(name, device="cpu", dtype="float32") for name in ("tiny", "tiny-draft")]
    made = big_little(
        *models, tree.prompt + "\n", fallback=1 - alpha, rollback=rollback,
        max_new_tokens=replay.recorded()["tokens"],
    )  # fmt: skip
    said = replay.written("tiny", text, setting("big-little", alpha, rollback))
    word = models[0].tokenizer.decode
    shown = [word([token]).replace(" ", "␣").replace("\n", "↵") for token in made.tokens]
    assert [tree.words[one.token] for one in said] == shown


def test_needed_is_the_alpha_of_the_packages_rules():
    import torch

    rng = np.random.default_rng(0)
    for _ in range(40):
        p, q = (torch.tensor(rng.dirichlet(np.full(6, 0.5))) for _ in range(2))
        small, far = int(q.argmax()), float((q - p).clamp(min=0).sum())
        node = replay.Node(
            small, int(p.argmax()), float(q.max()), float(p.max()), -math.log(p[small]), far
        )
        for rule in ("Chow", "Diff", "OPT", "V2", "V3"):
            least = replay.needed(rule, node)
            for alpha in (least - 1e-6, least + 1e-6):
                if not -1 <= alpha <= 1:
                    continue
                pi = SpeculativeCascade(rule.lower(), float(alpha)).aim(p, q)
                kept = float(pi[small]) >= float(q[small]) - 1e-9
                if rule in ("Chow", "Diff", "OPT"):  # q or p as a whole
                    kept = bool(torch.allclose(pi, q))
                assert kept or alpha < least, (rule, alpha)
                if alpha < least and rule in ("Chow", "Diff", "OPT"):
                    assert bool(torch.allclose(pi, p))


def test_the_ends_of_every_rule():
    for pair in replay.PAIRS:
        other = 1 - replay.places(pair).same.mean()
        for rule in ("Chow", "Diff", "V2", "V3"):
            assert replay.shares(pair, setting(rule, 1.0, 12)) == pytest.approx((1, other))
        assert replay.shares(pair, setting("big-little", 1.0, 0)).other == 0
        assert replay.shares(pair, setting("averaging", 0.0, 12)) == (0, 0)
        assert replay.shares(pair, setting("averaging", 1.0, 12)).other == pytest.approx(other)
        assert replay.shares(pair, setting("contrast", 0.0, 12)).other == 0
        for text in TEXTS:
            own = replay.written(pair, text, setting("big-little", 1.0, 0))
            plain = replay.written(pair, text, setting("averaging", 0.0, 12))
            assert [t.token for t in own] == [t.token for t in plain]


@settings(max_examples=40, deadline=None)
@given(cases)
def test_more_trust_lets_the_small_model_write_more(case):
    pair, _, rule, _, rollback = case
    small, other = replay.frontier(pair, rule, setting(rule, 0, rollback).rollback)
    if rule not in replay.BOTH:
        assert (np.diff(small) >= 0).all() and (np.diff(other) >= 0).all()
    assert all(0 <= b <= 1 and (b <= a or rule in replay.BOTH) for a, b in zip(small, other))


def test_bars_fill_every_kind(shown):
    for state in views(shown):
        drawn = named(shown.drawn(state))
        bars = [one for one in drawn.values() if one["type"] == "bar"]
        assert np.sum([bar["x"] for bar in bars], 0) == pytest.approx(1, abs=1e-5)


def test_words_say_what_the_table_says(shown):
    for state in views(shown):
        picture = shown.drawn(state)
        table, line = picture.table(), picture.finding.split("\n")[0]
        other = (table["token"] != table["large model's choice"]).sum()
        assert int(re.search(r"(\d+) not", line)[1]) == other
        if "by the small model" in line:
            assert int(line.split()[0]) == (table["by"] == "small").sum()
        if "rolled back" in line:
            assert int(re.search(r"(\d+) rolled", line)[1]) == (table["rolled back"] != "").sum()


def test_the_whole_text_has_room(shown):
    from ensemble_lab.explorers.tokens.rounds import wide
    from ensemble_lab.explorers.tokens.together import ACROSS, SIZE, SMALLER

    for pair in replay.PAIRS:
        for text, tree in replay.trees(pair).items():
            for rule in replay.RULES:
                for alpha in replay.ALPHAS:
                    row, x = 0, 0.0
                    for one in replay.written(pair, text, setting(rule, alpha, 3)):
                        back = "" if one.rolled_back is None else tree.words[one.rolled_back]
                        room = max(wide(tree.words[one.token], SIZE), wide(back, SMALLER))
                        row, x = (row + 1, room) if x and x + room > ACROSS else (row, x + room)
                    assert row < LINES, (pair, text, rule, alpha)


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        table = shown.table(**state)
        other = (table["token"] != table["large model's choice"]).mean()
        assert not isinstance(view, Failing) or other > 0.15 or title == "strong contrast", title


def test_every_slider_moves_the_picture_from_the_start(shown):
    start = shown.picture()
    for control in shown.controls:
        others = [option for option in control.options if option != control.default]
        moved = [shown.picture(**{control.name: option}) for option in others]
        assert any(one.layout != start.layout for one in moved), control.name


def test_it_takes_no_outcomes():
    with pytest.raises(ValueError, match="takes no outcomes"):
        lab.explore("together", "mine")


@pytest.mark.parametrize(
    ("before", "token", "kind"),
    [
        ("", "The", "short word"),
        ("The", " lighthouse", "longer word"),
        ("The light", "house", "rest of a word"),
        ("in", " Paris", "name"),
        ("End.", " Paris", "longer word"),
        ("is", " 1", "number"),
        ("1", "5", "number"),
        ("a", ",", "sign"),
        ("Ann", "'s", "rest of a word"),
        ("so", " I", "short word"),
    ],
)
def test_kinds_of_tokens(before, token, kind):
    from recipes.record_together import kind_of

    assert replay.KINDS[kind_of(before, token)] == kind
    assert tuple(replay.recorded()["kinds"]) == replay.KINDS


def test_rounded_weights_have_sixteen_levels_a_group():
    import torch

    from recipes.record_together import GROUP, LEVELS, rounded

    model = lab.load("tiny", device="cpu", dtype="float32")
    before = model.model.model.layers[0].mlp.up_proj.weight.clone()
    after = rounded(model).model.model.layers[0].mlp.up_proj.weight
    one = after.reshape(-1, GROUP)[3]
    assert len(torch.unique(one)) <= LEVELS
    step = (before.reshape(-1, GROUP)[3].max() - before.reshape(-1, GROUP)[3].min()) / (LEVELS - 1)
    assert (after - before).reshape(-1, GROUP)[3].abs().max() <= step / 2 + 1e-6
