"""The n-gram table, the drafts that use it, and the script that counts it."""

import gzip
import json
import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.catalogue import data_folder
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.vocabulary import vocabulary_fingerprint
from ensemble_lab.tokens.drafts import ngram
from ensemble_lab.tokens.drafts.base import padded
from ensemble_lab.tokens.drafts.combined import StackedDraft, kind_of
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.drafts.ngram import (
    LEVELS,
    START,
    WINDOW,
    NgramDraft,
    NgramTable,
    level_of,
    mixed,
)
from recipes import train_ngram
from tests.support.tiny_llama import make_tokenizer, save_tiny_llama

SHIPPED = data_folder() / "drafts" / "smollm2-ngram.safetensors"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small only lose by being shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def hashed(*context):
    """The hash of a context, whose last token is mixed in first."""
    h = START
    for token in reversed(context):
        h = mixed(h, token)
    return h


def table_of(entries, order=3, slots=64):
    """A table of ``{context: (token, level)}``."""
    hashes = np.array([hashed(*context) for context in entries], np.uint64)
    tokens, levels = (np.array(part) for part in zip(*entries.values()))
    return NgramTable.packed(hashes, tokens, levels, slots, order, {})


def proposed(draft, text, most):
    """Tokens and kinds for one row."""
    rows = SimpleNamespace(texts=[list(text)], tokens=torch.empty(0))
    draft.begin(rows, None, None)
    proposal = draft.propose(rows, most)
    return proposal.tokens[0].tolist(), list(proposal.kinds_of(0))


SMALL = table_of({(7,): (1, 4), (8, 7): (2, 9), (9, 8, 7): (3, 15), (1,): (7, 8)})


@pytest.mark.parametrize(
    "text, found",
    [
        ([7], (1, 4, 1)),
        ([5, 7], (1, 4, 1)),
        ([8, 7], (2, 9, 2)),
        ([0, 9, 8, 7], (3, 15, 3)),
        ([7, 8], (0, 0, 0)),  # a context is no set
        ([], (0, 0, 0)),
    ],
)
def test_the_longest_known_context_answers(text, found):
    assert SMALL.find(text) == found


def test_arrays_and_plain_integers_hash_alike():
    h, token = np.array([START, 1, 2**64 - 1], np.uint64), np.array([0, 65535, 49151], np.uint64)
    each = [mixed(a, b) for a, b in zip(h.tolist(), token.tolist())]
    assert mixed(h, token).tolist() == each


def test_crowded_entries_the_first_stay_and_none_answers_for_another():
    entries = {(token,): (100 + token, 5) for token in range(40)}
    table = table_of(entries, slots=1)  # all want the same slot
    found = [table.find([token]) for token in range(40)]
    assert found[:WINDOW] == [(100 + token, 5, 1) for token in range(WINDOW)]
    assert found[WINDOW:] == [(0, 0, 0)] * (40 - WINDOW)


def test_an_entry_with_a_mark_that_is_taken_is_left_out():
    same = np.array([(5 << 32) | 0xABC, (5 << 32) | (1 << 12) | 0xABC], np.uint64)
    table = NgramTable.packed(same, np.array([1, 2]), np.array([3, 3]), 16, 1, {})
    assert [word & 0xFFFF for word in table.words.tolist() if word] == [1]


def test_the_last_slot_has_room_behind_it():
    last = np.array([(2**32 - 1 << 32) | mark for mark in range(WINDOW + 2)], np.uint64)
    ones = np.ones(len(last), int)
    assert np.count_nonzero(NgramTable.packed(last, ones, ones, 4, 1, {}).words) == WINDOW


def test_a_token_of_seventeen_bits_is_refused():
    with pytest.raises(ValueError, match="65536 does not fit"):
        table_of({(1,): (65536, 1)})


def test_levels_are_one_to_fifteen():
    assert level_of([0.0, 0.05, 0.5, 0.99, 1.0]).tolist() == [1, 1, 8, 15, 15]


def test_a_table_is_read_as_it_was_saved(tmp_path):
    for name in "ab":
        SMALL.save(tmp_path / name)
    read = NgramTable.read(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (read.words.tolist(), read.order) == (SMALL.words.tolist(), 3)


def test_a_chain_of_looked_up_tokens():
    assert proposed(NgramDraft(SMALL), [8, 7], 4) == ([2], [4 * 2 + 9 // 4])  # nothing behind 2
    tokens, kinds = proposed(NgramDraft(SMALL), [5, 7], 5)  # 7 1 7 1 … by single tokens
    assert (tokens, kinds) == ([1, 7, 1, 7, 1], [5, 6, 5, 6, 5])


def test_a_long_match_is_copied_and_the_table_goes_on_behind_it():
    copied = [20, 21, 22, 23, 24, 25, 26]
    text = [*copied, 50, 20, 21, 22]
    table = table_of({(22,): (9, 15), (24,): (25, 6), (26,): (60, 12), (60,): (61, 12)})
    tokens, kinds = proposed(StackedDraft(LookupDraft(), NgramDraft(table)), text, 3)
    assert tokens == [23, 24, 25]
    assert kinds == [kind_of(3, 0), kind_of(4, 0), kind_of(5, 6)]  # the table agrees on 25


def test_a_short_match_loses_against_a_sure_table():
    text = [1, 2, 3, 4, 2]
    sure, unsure = (table_of({(2,): (9, level), (9,): (8, 5)}) for level in (12, 2))
    assert proposed(StackedDraft(LookupDraft(), NgramDraft(sure)), text, 3) == ([9, 8], [3, 1])
    tokens, kinds = proposed(StackedDraft(LookupDraft(), NgramDraft(unsure)), text, 3)
    assert (tokens, kinds) == ([3, 4, 2], [kind_of(1, 0), kind_of(2, 0), kind_of(3, 0)])


def test_a_text_without_a_match_is_the_tables_until_a_match_begins():
    table = table_of({(9,): (1, 8), (9, 1): (2, 8)})
    tokens, kinds = proposed(StackedDraft(LookupDraft(), NgramDraft(table)), [1, 2, 3, 9], 4)
    assert tokens == [1, 2, 3, 9]
    assert kinds == [2, kind_of(1, 8), kind_of(2, 0), kind_of(3, 0)]


def test_a_match_that_overlaps_its_own_copy_repeats_itself():
    draft = StackedDraft(LookupDraft(), NgramDraft(table_of({(99,): (1, 1)})))
    assert proposed(draft, [5, 6, 5, 6], 6)[0] == [5, 6, 5, 6, 5, 6]


def test_without_a_table_that_knows_anything_it_proposes_what_lookup_does():
    rng, nothing = np.random.default_rng(0), table_of({(99,): (1, 1)})
    for _ in range(50):
        text = rng.integers(0, 5, 30).tolist()
        stacked = proposed(StackedDraft(LookupDraft(), NgramDraft(nothing)), text, 6)[0]
        assert stacked == proposed(LookupDraft(), text, 6)[0]


DENSE = table_of({(a,): ((a * 3 + 1) % 6, 1 + a * 2) for a in range(6)})


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=30), min_size=1, max_size=3),
    st.integers(1, 12),
)
def test_never_more_than_asked_for_and_a_kind_for_each(texts, most):
    rows = SimpleNamespace(texts=texts, tokens=torch.empty(0))
    for draft in (NgramDraft(DENSE), StackedDraft(LookupDraft(), NgramDraft(DENSE))):
        draft.begin(rows, None, None)
        for _ in range(2):
            proposal = draft.propose(rows, most)
            assert proposal.tokens.shape == (len(texts), max(proposal.counts))
            assert all(count <= most for count in proposal.counts)
            kinds = [proposal.kinds_of(i) for i in range(len(texts))]
            assert [len(row) for row in kinds] == list(proposal.counts)
            for text in texts:  # as a round does
                text += [0, 1, 2]
        for text in texts:
            del text[-6:]


def test_kinds_of_copied_tokens_are_no_kinds_of_the_tables():
    copied = {kind_of(size, level) for size in range(1, 20) for level in range(LEVELS + 1)}
    assert copied == set(range(4, 13)) and max(range(LEVELS + 1)) // 4 == 3


def test_texts_are_the_targets_own(tmp_path):
    target = lab.load(str(save_tiny_llama(tmp_path)), device="cpu", dtype="float64")
    plain = lab.decode(target, ["the big model", "a"], max_new_tokens=40)
    following = [token for one in plain for token in one.tokens]
    draft = NgramDraft(table_of({(a,): (b, 9) for a, b in pairwise(following)}))
    for each in (draft, StackedDraft(LookupDraft(), draft)):
        made = lab.decode(target, ["the big model", "a"], each, gamma=4, max_new_tokens=40)
        assert [one.tokens for one in made] == [one.tokens for one in plain]
        assert sum(r.accepted for one in made for r in one.rounds if r) > 0


def test_the_shipped_table_is_small_and_tells_where_it_comes_from():
    table = NgramTable.read(SHIPPED)
    assert SHIPPED.stat().st_size < 4_000_000
    assert {"weights", "vocabulary", "licence", "note", "tokens", "held_out"} <= set(table.about)
    assert "4-bit" in table.about["weights"]
    filled = table.words[table.words > 0]
    assert len(filled) == table.about["contexts"]
    assert ((filled >> 16 & 0xF) > 0).all() and ((filled & 0xFFFF) < 49152).all()


def test_the_figures_beside_it_are_of_this_table_and_stacking_pays():
    figures = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    about = dict(NgramTable.read(SHIPPED).about)
    assert about.items() <= figures.items()
    for gamma in ("gamma 4", "gamma 8"):
        each = {
            name: found[gamma]["tokens_a_round"]["all"] for name, found in figures["drafts"].items()
        }
        assert each["stacked"] > max(each["table"], each["lookup"]) > 1


def test_another_tokenizer_is_refused_by_name():
    with pytest.raises(ModelError, match=r"'smollm2'.*another tokenizer.*draft='lookup'"):
        NgramDraft.load("smollm2", make_tokenizer(None))


def test_a_table_is_loaded_for_its_own_tokenizer(tmp_path, monkeypatch):
    tokenizer = make_tokenizer(None)
    (tmp_path / "drafts").mkdir()
    about = {"vocabulary": vocabulary_fingerprint(tokenizer), "weights": "w"}
    NgramTable(SMALL.words, 3, about).save(tmp_path / "drafts" / "own-ngram.safetensors")
    monkeypatch.setattr(ngram, "data_folder", lambda: tmp_path)
    assert NgramDraft.load("own", tokenizer).table.find([8, 7]) == (2, 9, 2)
    with pytest.raises(FileNotFoundError, match=r"other-ngram\.safetensors.*reinstall"):
        NgramDraft.load("other", tokenizer)


def answer(tokens, held_out=False, prompt=(0, 0, 0, 0)):
    return train_ngram.Answer("chat", True, held_out, list(prompt), list(tokens))


def test_counts_and_smoothing_by_hand():
    """Behind 1: 2 thrice and 3 once; behind 5 1: always 3. Of all 9 tokens four are 1."""
    texts = [(1, 2), (1, 2), (1, 2), (5, 1, 3)]
    answers = [answer(text, prompt=(90 + i,) * 4) for i, text in enumerate(texts)]
    table = train_ngram.build(answers, {})
    # p(2) = 3/9; p(2 | 1) = (3 + 2 p(2)) / (4 + 2); p(3 | 1) = (1 + 2 p(3)) / 6, p(3) = 1/9
    assert table.find([1]) == (2, int((3 + 2 / 3) / 6 * 15 + 1), 1)
    # p(3 | 5 1) = (1 + p(3 | 1)) / 2
    assert table.find([5, 1]) == (3, int((1 + (1 + 2 / 9) / 6) / 2 * 15 + 1), 2)
    assert table.find([77]) == (0, 0, 0)


def test_an_undecided_long_context_leaves_the_word_to_a_sure_short_one():
    """Behind 8 1 came 3 and 4, once each; behind 1 nearly always 2."""
    often = [answer((1, 2), prompt=(80 + i,) * 4) for i in range(40)]
    twice = [answer((8, 1, token), prompt=(70 + token,) * 4) for token in (3, 4)]
    table = train_ngram.build(often + twice, {})
    # p(2 | 8 1) = 2 p(2 | 1) / 4 is nearly a half, p(3 | 8 1) = (1 + 2 p(3 | 1)) / 4 a quarter
    assert table.find([8, 1]) == (2, 7, 2)
    assert table.find([73, 8, 1])[0] == 3  # seen once, and only so
    assert table.find([9, 1])[::2] == (2, 1)


def test_what_a_shorter_context_says_as_well_takes_no_entry():
    answers = [answer((1, 2, 3), prompt=(90 + i,) * 4) for i in range(30)]
    table = train_ngram.build(answers, {})
    assert table.find([1, 2])[::2] == (3, 1)  # found by the 2 alone


def test_token_0_is_a_token_as_any_other():
    """Behind 1 came eight others as well, so that the confidence in it is low."""
    answers = [answer((1, t), prompt=(90,) * 4) for t in (0, 0, 2, 3, 4, 5, 6, 7, 8, 9)]
    others = [answer(range(100, 200), prompt=(99,) * 4)]
    token, level, n = train_ngram.build(answers + others, {}).find([1])
    assert (token, n) == (0, 1) and level < train_ngram.NEAR


def test_held_out_answers_are_not_counted():
    answers = [answer((1, 2)), answer((3, 4), held_out=True)]
    table = train_ngram.build(answers, {})
    assert table.find([1])[0] == 2 and table.find([3]) == (0, 0, 0)
    assert (table.about["answers"], table.about["tokens"]) == (1, 2)


def test_a_twentieth_of_the_prompts_is_held_out():
    n = 4000
    share = sum(train_ngram.is_held_out(f"prompt {i}") for i in range(n)) / n
    assert abs(share - 0.05) < 4 * math.sqrt(0.05 * 0.95 / n)


class Fixed:
    """Proposes 1, 2, 3 … whatever the text; the kind is the place."""

    def begin(self, rows, sampling, generator):
        pass

    def propose(self, rows, most):
        return padded([list(range(1, most + 1))], [list(range(most))], rows)


def test_rounds_by_hand():
    """1 2 | 9, then 1 2 3 | 4, then 5 with nothing accepted, then the text ends within 1 2."""
    found = train_ngram.measure(Fixed(), [answer((1, 2, 9, 1, 2, 3, 4, 5, 1, 2))], 3)
    assert found["tokens_a_round"] == {"chat": 10 / 4, "all": 10 / 4}
    assert found["first"]["all"] == 3 / 4
    assert found["kinds"] == {"0": [3, 4], "1": [3, 3], "2": [1, 2]}


def test_the_build_repeats_to_the_byte(tmp_path):
    lines = [
        json.dumps({"kind": "chat", "greedy": i % 2 == 0, "prompt": f"p{i}", "completion": text})
        for i, text in enumerate(["the small model answers", "the big model checks"] * 30)
    ]
    (tmp_path / "one.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    tokenizer = make_tokenizer("{{ messages[0]['content'] }}:")
    for name in "ab":
        answers = train_ngram.answers_of(tmp_path, tokenizer)
        train_ngram.build(answers, {"weights": "w"}).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert tokenizer.decode(answers[0].prompt) == "p0:"
    draft = NgramDraft(NgramTable.read(tmp_path / "a"))
    tokens = tokenizer("the small model", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(proposed(draft, tokens, 3)[0]).startswith(" answers")


def test_an_empty_folder_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no \*\.jsonl\.gz in .*--raw"):
        train_ngram.answers_of(tmp_path, None)
