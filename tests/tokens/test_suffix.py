"""Suffix decoding: the automaton is brute force, only quicker, and the text stays the target's."""

import re
import time
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.models import load
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts import automaton as module
from ensemble_lab.tokens.drafts.automaton import ROOT, SuffixAutomaton
from ensemble_lab.tokens.drafts.suffix import SuffixDraft
from ensemble_lab.tokens.reading.rows import Rows
from tests.support.toy_lm import mutant, toy

RAGGED = [[4], [1, 2, 3], [5, 0, 0, 2, 1, 3, 4], [2, 4, 4, 1, 0, 5]]
NEW = 24
texts_of_few_tokens = st.lists(st.lists(st.integers(0, 2), max_size=14), min_size=1, max_size=3)

# The automaton against brute force


def ends(texts, string):
    """Text and place after each occurrence."""
    n = len(string)
    return [
        (i, at + n)
        for i, text in enumerate(texts)
        for at in range(len(text) - n + 1)
        if text[at : at + n] == string
    ]


def state_of(automaton, string):
    state = ROOT
    for token in string:
        state = automaton.next[state][token]
    return state


def substrings(texts):
    return [
        list(s)
        for s in {
            tuple(t[i:j]) for t in texts for i in range(len(t)) for j in range(i + 1, len(t) + 1)
        }
    ]


def check_automaton(texts, deepest):
    """After each token: its strings, their counts and latest ends, and how many states it has."""
    automaton, read = SuffixAutomaton(deepest=deepest), []
    for text in texts:
        automaton.start_text()
        read.append([])
        for token in text:
            automaton.append(token)
            read[-1].append(token)
            n = sum(map(len, read))
            assert automaton.size == n and len(automaton.link) <= max(2 * n - 1, 2)
            order = {(i, at): sum(map(len, read[:i])) + at for i, t in enumerate(read)
                     for at in range(len(t) + 1)}  # fmt: skip
            for string in substrings(read):
                found, state = ends(read, string), state_of(automaton, string)
                if len(string) <= deepest:
                    assert automaton.count[state] == len(found)
                    assert automaton.latest[state] == max(order[end] for end in found)
                assert automaton.length[state] >= len(string)
                following = {read[i][at] for i, at in found if at < len(read[i])}
                assert set(automaton.next[state]) == following
            for absent in ([0, 1, 2, 0, 1], [2, 2, 2, 2]):
                if not ends(read, absent):
                    with pytest.raises(KeyError):
                        state_of(automaton, absent)
    return automaton


@settings(max_examples=150, deadline=None)
@given(texts_of_few_tokens, st.sampled_from([2, 3, 64]))
def test_the_automaton_is_brute_force(texts, deepest):
    check_automaton(texts, deepest)


def test_states_of_the_hardest_text():
    """a b b b … has 2 n - 1 states, and a b c … has n + 1 (Blumer et al.)."""
    assert len(SuffixAutomaton([0] + [1] * 30).link) == 2 * 31 - 1
    assert len(SuffixAutomaton(range(30)).link) == 31


FAULTS = {
    "a clone forgets its count": ("_exactly", "self.count[after],", "0,"),
    "a clone has no continuations": ("_exactly", "dict(self.next[after])", "{}"),
    "transitions stay with the longer": ("_exactly", "while state >= 0 and", "while False and"),
    "not deep enough": ("append", ">= self.deepest", ">= self.deepest - 1"),
    "texts run together": (
        "start_text",
        "self._end = ",
        "old = self.__dict__.get('_end', 0); self._counted = ROOT; self._end = old; return; ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_brute_force_sees_a_planted_fault(monkeypatch, fault):
    name, old, new = FAULTS[fault]
    changed = mutant(getattr(SuffixAutomaton, name), old, new)
    monkeypatch.setattr(module.SuffixAutomaton, name, changed)
    rng = np.random.default_rng(0)
    with pytest.raises((AssertionError, KeyError, IndexError)):
        for _ in range(200):
            sizes = rng.integers(0, 12, 2)
            check_automaton([rng.integers(0, 2, size).tolist() for size in sizes], 3)


# What is proposed, against brute force


def continued(texts, string):
    """How often each token followed a string, and where last; {} where none did."""
    found = {}
    for i, at in ends(texts, string):
        if at < len(texts[i]):
            times, _ = found.get(texts[i][at], (0, 0))
            found[texts[i][at]] = times + 1, sum(map(len, texts[:i])) + at
    return found


def brute_force(texts, string, most):
    """The same as `likeliest` of a string: of each continuation the most frequent, then latest."""
    string, found = list(string), []
    while string and len(found) < most:
        following = continued(texts, string)
        if not following:
            string = string[1:]
            continue
        token = max(following, key=following.__getitem__)
        found.append((token, following[token][0] / sum(times for times, _ in following.values())))
        string.append(token)
    return found


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=30), st.integers(0, 8))
def test_the_longest_repeated_suffix_and_what_followed_it(text, most):
    automaton = SuffixAutomaton(text)
    state, length = automaton.repeated()
    longest = max((n for n in range(len(text)) if len(ends([text], text[len(text) - n :])) > 1
                   and n), default=0)  # fmt: skip
    assert length == longest
    string = text[len(text) - length :]
    assert state == state_of(automaton, string)
    assert automaton.likeliest(state, most) == brute_force([text], string, most)


@settings(max_examples=300, deadline=None)
@given(texts_of_few_tokens, st.lists(st.integers(0, 3), max_size=12), st.integers(0, 6))
def test_the_longest_suffix_in_other_texts(texts, text, most):
    automaton = SuffixAutomaton()
    for one in texts:
        automaton.start_text()
        for token in one:
            automaton.append(token)
    state, length = ROOT, 0
    for i, token in enumerate(text):
        state, length = automaton.followed(state, length, token)
        so_far = text[: i + 1]
        longest = max((n for n in range(1, i + 2) if ends(texts, so_far[-n:])), default=0)
        assert length == longest
        string = so_far[len(so_far) - length :]
        assert state == state_of(automaton, string)
        assert automaton.likeliest(state, most) == brute_force(texts, string, most)


def proposed(draft, texts, most=10):
    rows = Rows(texts, max(map(len, texts)) + most + 1, torch.device("cpu"))
    draft.begin(rows, None, None)
    made = draft.propose(rows, most)
    return [made.tokens[i, :n].tolist() for i, n in enumerate(made.counts)]


def test_a_hand_computed_case():
    """2 followed [0, 1] twice, 3 once: 2 is proposed; then the later of 3 and 0 that came once."""
    assert proposed(SuffixDraft(factor=1), [[0, 1, 2, 3, 0, 1, 3, 0, 1, 2, 0, 1]]) == [[2, 0]]


def test_a_longer_match_gives_more_tokens():
    text = [7, 0, 1, 2, 3, 4, 5, 6, 8]
    for n in (1, 2, 3, 4):
        assert proposed(SuffixDraft(factor=1), [[*text, *text[:n]]]) == [text[n : 2 * n]]


def test_the_longer_match_decides_between_text_and_corpus():
    corpus = [[5, 1, 2, 3]]
    assert proposed(SuffixDraft(corpus), [[2, 9, 4, 5, 1, 2]])[0][0] == 3
    assert proposed(SuffixDraft(corpus), [[5, 1, 2, 9, 5, 1, 2]])[0][0] == 9  # equally long: own
    assert proposed(SuffixDraft(), [[4, 5]]) == [[]]


def test_no_proposal_spans_two_texts():
    assert proposed(SuffixDraft([[1, 2], [3, 4]]), [[0, 1]]) == [[2]]
    assert proposed(SuffixDraft([[1, 2], [3, 4]]), [[0, 2]]) == [[]]


# Lossless


def corpus_of(target):
    made = decode(target, RAGGED, max_new_tokens=NEW)
    return [list(one.tokens[5:]) for one in made[:2]] + [[0, 0, 0]]


@pytest.mark.parametrize("gamma", [None, 1, 4, 9])
def test_greedy_text_is_the_plain_text(gamma):
    target = toy(0)
    plain = [one.tokens for one in decode(target, RAGGED, max_new_tokens=NEW)]
    for draft in ("suffix", SuffixDraft(corpus_of(target))):
        made = decode(target, RAGGED, draft, gamma=gamma, max_new_tokens=NEW)
        assert [one.tokens for one in made] == plain
        assert gamma is None or sum(r.accepted for one in made for r in one.rounds)


@pytest.mark.parametrize("seed", range(3))
def test_sampled_and_coupled_it_is_sampled_plainly(seed):
    target = toy(0, hidden=8)
    how = {"temperature": 0.9, "top_p": 0.95, "verification": "coupled", "seed": seed}
    plain = [one.tokens for one in decode(target, RAGGED, max_new_tokens=NEW, **how)]
    draft = SuffixDraft()
    for _ in range(2):  # the corpus has grown the second time
        made = decode(target, RAGGED, draft, gamma=4, max_new_tokens=NEW, **how)
        assert [one.tokens for one in made] == plain
    assert sum(r.accepted for one in made for r in one.rounds)


def test_the_shipped_model_writes_its_plain_text():
    target = load("tiny", dtype="float64")
    plain = decode(target, "Write a short story about a lighthouse.\n", max_new_tokens=60)
    made = decode(target, "Write a short story about a lighthouse.\n", "suffix", max_new_tokens=60)
    assert made.tokens == plain.tokens


def test_the_corpus_grows_by_what_was_written_and_rounds_become_fewer():
    target, draft = toy(0), SuffixDraft()
    first = decode(target, RAGGED, draft, gamma=8, max_new_tokens=NEW)
    assert list(draft.texts) == []
    again = decode(target, RAGGED, draft, gamma=8, max_new_tokens=NEW)
    assert list(draft.texts) == [list(one.tokens) for one in first]  # prompts are not in it
    assert [one.tokens for one in again] == [one.tokens for one in first]
    assert sum(len(one.rounds) for one in again) < sum(len(one.rounds) for one in first)


# The bound, and files


def test_the_oldest_texts_are_dropped():
    draft = SuffixDraft([[1, 2, 3, 4], [5, 6, 7]], most_tokens=10)
    draft.add([8, 9, 1, 2])  # 11 tokens: the newest that fit in half
    assert list(draft.texts) == [[8, 9, 1, 2]] and draft.corpus.size == 4
    assert proposed(draft, [[6, 5]]) == [[]] and proposed(draft, [[7, 8]]) == [[9, 1, 2]]
    for n in range(40):
        draft.add([n % 3, n % 5, n % 2])
        assert sum(map(len, draft.texts)) <= 10 and draft.corpus.size <= 10
    draft.add(range(100))
    assert list(draft.texts)[-1] == [95, 96, 97, 98, 99]


@pytest.mark.parametrize("most", [2, 3, 4])
def test_the_smallest_bounds(most):
    draft = SuffixDraft([[1, 2, 3], [4], [], [5, 6]], most_tokens=most)
    assert 1 <= sum(map(len, draft.texts)) <= most
    decode(toy(0), RAGGED, SuffixDraft(most_tokens=most), max_new_tokens=4)


def tokenizer(*words):
    return SimpleTokenizer({word: i for i, word in enumerate(words)})


class SimpleTokenizer(SimpleNamespace):
    def __init__(self, vocabulary):
        super().__init__(eos_token_id=None, chat_template=None)
        self.vocabulary = vocabulary

    def get_vocab(self):
        return self.vocabulary

    def __len__(self):
        return len(self.vocabulary)

    __hash__ = object.__hash__


def test_a_corpus_is_saved_and_read(tmp_path):
    words, path = tokenizer("a", "b", "c"), tmp_path / "corpus.safetensors"
    draft = SuffixDraft([[1, 2, 0], [2, 2]])
    draft.save(path, words)
    first = path.read_bytes()
    read = SuffixDraft.load(path, words, factor=1)
    assert list(read.texts) == [[1, 2, 0], [2, 2]] and read.factor == 1
    read.save(path, words)
    assert path.read_bytes() == first
    with pytest.raises(ModelError, match="corpus.*tokens of another tokenizer"):
        SuffixDraft.load(path, tokenizer("a", "b", "d"))
    SuffixDraft().save(path, words)
    assert list(SuffixDraft.load(path, words).texts) == []


@pytest.mark.parametrize("content", [b"", b"no tensors", "cut", "other", "floats", "no end"])
def test_a_damaged_file_is_refused_and_kept(tmp_path, content):
    from safetensors.numpy import save

    words, path = tokenizer("a", "b"), tmp_path / "corpus"
    SuffixDraft([[1, 0]]).save(path, words)
    about = {"about": '{"vocabulary": "", "weights": ""}'}
    if content == "cut":
        content = path.read_bytes()[:-1]
    elif content == "other":
        content = save({"weights": np.zeros(3, np.int32)}, metadata=about)
    elif content == "floats":
        content = save({"tokens": np.zeros(3)}, metadata=about)
    elif content == "no end":
        content = save({"tokens": np.zeros(3, np.int32)}, metadata=about)
    path.write_bytes(content)
    with pytest.raises(ModelError, match="again|write it with SuffixDraft.save"):
        SuffixDraft.load(path, words)
    assert path.read_bytes() == content


# What is reported of such drafts elsewhere


def test_nothing_of_an_earlier_request_is_left():
    """llama.cpp 27852: a shorter prompt after a longer one was never taken in."""
    draft = SuffixDraft()
    assert proposed(draft, [[1, 2, 3, 4, 5, 1, 2, 3]])[0][:2] == [4, 5]
    assert proposed(draft, [[1, 9, 1]]) == [[9, 1, 9, 1]]
    assert proposed(draft, [[1, 2]]) == [[]]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_tokens_than_asked_for(most):
    """transformers 46993: three looked-up tokens were written where two were allowed."""
    prompt = [1, 2, 3, 4, 5, 1, 2, 3]
    for gamma in (1, 3, 50):
        made = decode(toy(0), prompt, "suffix", gamma=gamma, max_new_tokens=most)
        assert made.tokens == decode(toy(0), prompt, max_new_tokens=most).tokens


def test_an_end_that_is_copied_ends_the_text():
    """transformers 31301: the end of the prompt's first turn was copied, and text went on."""
    plain = decode(toy(0), RAGGED[2], max_new_tokens=NEW).tokens
    end = plain[NEW // 2]
    target = toy(0, eos_token_id=end)
    prompt = [*RAGGED[2], *plain, *RAGGED[2]][-50:]
    made = decode(target, prompt, "suffix", gamma=8, max_new_tokens=10)
    assert made.tokens == decode(target, prompt, max_new_tokens=10).tokens
    assert end not in made.tokens[:-1]


def test_a_prompt_up_to_the_context():
    """ArcticInference 60: the server stopped where prompt and output reached the longest length."""
    prompt = [1, 2, 3, 4] * 15
    plain = decode(toy(0), prompt, max_new_tokens=50).tokens
    for gamma in (None, 5, 500):
        assert decode(toy(0), prompt, "suffix", gamma=gamma, max_new_tokens=50).tokens == plain


def test_one_token_repeated_is_read_in_linear_time():
    """SGLang 21052: long inputs took quadratic time and memory."""
    small, large = (timed(n) for n in (10_000, 40_000))
    assert large < 12 * small
    automaton = SuffixAutomaton([3] * 10_000)
    assert len(automaton.link) == 10_001
    assert automaton.likeliest(automaton.repeated()[0], 5) == [(3, 1.0)] * 5


def timed(n):
    begun = time.perf_counter()
    SuffixAutomaton([3] * n)
    return time.perf_counter() - begun


@pytest.mark.parametrize("kind", [tuple, np.array, torch.tensor, range])
def test_texts_in_any_form(kind):
    """vLLM 25784: arrays where lists were expected."""
    text = kind(5) if kind is range else kind([0, 1, 2, 3, 4])
    draft = SuffixDraft([text])
    draft.add(text)
    assert [list(map(type, t)) for t in draft.texts] == [[int] * 5] * 2
    assert proposed(draft, [[9, 1]])[0][:2] == [2, 3]


def test_rows_with_and_without_a_match():
    """HabanaAI 1780: a batch of rows with and without drafted tokens was mixed up."""
    made = proposed(SuffixDraft(), [[1, 2, 1], [3], [4, 4]])
    assert made[1] == [] and made[0][0] == 2 and made[2][0] == 4


def test_tokens_of_another_tokenizer_are_refused():
    """llama.cpp 28158, vLLM 53977: ids at the vocabulary's end or -1 reached the embedding."""
    decode(toy(0), RAGGED, SuffixDraft([[5, 4]]), max_new_tokens=2)
    with pytest.raises(ModelError, match="corpus holds the token id 6; the target knows 0 to 5"):
        decode(toy(0), RAGGED, SuffixDraft([[1, 6]]), max_new_tokens=2)
    for wrong in (-1, 2**31, 1.5, True, "a", None):
        with pytest.raises(ValueError, match="the corpus|a token of the corpus"):
            SuffixDraft([[1, wrong]])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"corpus": "a text"}, "corpus is one string"),
        ({"corpus": ["a text"]}, "a text of the corpus is one string"),
        ({"corpus": [1, 2]}, "a text of the corpus is 1"),
        ({"corpus": None}, "corpus is None"),
        ({"corpus": {1: [2]}}, "corpus is a dict"),
        ({"factor": 0}, "factor=0; use a number above 0"),
        ({"factor": float("nan")}, "factor=nan"),
        ({"factor": float("inf")}, "factor=inf"),
        ({"factor": "2"}, "factor='2' is not a number"),
        ({"most_tokens": 1}, "most_tokens=1; use 2 or more"),
        ({"most_tokens": 1.5}, "most_tokens=1.5 is not a whole number"),
    ],
)
def test_settings_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        SuffixDraft(**wrong)


def test_an_automaton_counts_at_least_two_tokens():
    with pytest.raises(ValueError, match="deepest=1; use 2 or more"):
        SuffixAutomaton(deepest=1)


def test_a_token_of_the_corpus_takes_about_as_much_memory_as_is_said():
    """0.38 kB in answers of SmolLM2, 0.46 in few of them, 0.44 where tokens are drawn at random."""
    said = float(re.search(r"about ([\d.]+) kB each", SuffixDraft.__doc__).group(1))
    common = np.random.default_rng(0).zipf(1.3, 20_000)
    text = common[common < 30_000].tolist()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    draft = SuffixDraft([text[i : i + 128] for i in range(0, len(text), 128)])
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    tokens = sum(map(len, draft.texts))
    assert tokens > 15_000 and abs(taken / tokens / 1000 - said) < 0.1
