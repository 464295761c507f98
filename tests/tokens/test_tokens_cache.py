"""The cache by position against transformers' own, through any history of rejections."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import Rows
from ensemble_lab.tokens.reading.split import SplitReader
from tests.support.toy_lm import mutant, network

VOCABULARY, CAPACITY = 11, 40
CLOSE = {"sdpa": 1e-9, "eager": 1e-5}  # eager attention takes its softmax in float32


@cache
def model(attention):
    settings = {"attn_implementation": attention, "num_key_value_heads": 2}
    return network(4, 3, VOCABULARY, hidden=8, **settings)


class Peer:
    """One row with transformers' dynamic cache, cropped after every round."""

    def __init__(self, net, prompt):
        from transformers import DynamicCache

        self.net, self.cache = net, DynamicCache(config=net.config)
        if prompt[:-1]:
            net(torch.tensor([prompt[:-1]]), past_key_values=self.cache)
        self.length = len(prompt)

    def read(self, tokens, kept):
        """Logits (k, V) after tokens, of which the first and `kept` more stay."""
        logits = self.net(torch.tensor([tokens]), past_key_values=self.cache).logits[0]
        if kept + 1 < len(tokens):
            self.cache.crop(kept + 1 - len(tokens))  # negative: so many are removed
        self.length += kept + 1
        return logits


@st.composite
def histories(draw):
    rows = draw(st.integers(1, 4))
    token = st.integers(0, VOCABULARY - 1)
    prompts = [draw(st.lists(token, min_size=1, max_size=9)) for _ in range(rows)]
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        k = draw(st.integers(0, 4))
        drafted = [draw(st.lists(token, min_size=k, max_size=k)) for _ in range(rows)]
        stay = [draw(st.integers(0, k)) for _ in range(rows)]
        steps.append((drafted, stay, [draw(token) for _ in range(rows)]))
    return prompts, steps


@torch.inference_mode()
def check_history(attention, history, layers):
    """Play a history of drafts, how many stayed and what came behind, in both caches."""
    prompts, steps = history
    net = model(attention)
    rows = Rows(prompts, CAPACITY, net.device)
    reader = (
        SplitReader(net, len(rows), CAPACITY, layers) if layers else Reader(net, *rows.tokens.shape)
    )
    rows.read_prompts(reader, but=1)
    peers = [Peer(net, prompt) for prompt in prompts]
    for drafted, stay, behind in steps:
        last, at = rows.last(1)
        new = torch.tensor(drafted, dtype=torch.long).reshape(len(rows), -1)
        tokens = torch.cat([last, new], 1)
        if layers:
            logits = reader.finish(reader.early(tokens, at)[0], at)
        else:
            logits = reader.read(tokens, at)
        for i, peer in enumerate(peers):
            theirs = peer.read([rows.texts[i][-1], *drafted[i]], stay[i])
            torch.testing.assert_close(logits[i], theirs, rtol=0, atol=CLOSE[attention])
        added = [[*row[:n], end] for row, n, end in zip(drafted, stay, behind)]
        wide = torch.tensor([row + [0] * (new.shape[1] + 1 - len(row)) for row in added])
        rows.append(wide, torch.tensor([len(row) for row in added]))
        for text, more in zip(rows.texts, added):
            text += more


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_logits_are_those_of_a_cropped_dynamic_cache(attention, layers):
    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(history=histories())
    def holds(history):
        check_history(attention, history, layers)

    holds()


def test_the_comparison_sees_what_a_mask_lets_through(monkeypatch):
    old, new = "keys <= seen[:, :, None]", "keys <= seen[:, :, None] + 1"
    monkeypatch.setattr(Reader, "_place", mutant(Reader._place, old, new))
    history = [[1, 2, 3], [4]], [([[5, 6], [7, 8]], [0, 2], [9, 10]), ([[1], [2]], [1, 0], [3, 4])]
    with pytest.raises(AssertionError):
        check_history("sdpa", history, 0)


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4), data=st.data())
def test_rows_on_host_and_device_agree(lengths, data):
    prompts = [[i + 1] * n for i, n in enumerate(lengths)]
    rows = Rows(prompts, CAPACITY, torch.device("cpu"))
    for _ in range(3):
        new = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
        rows.append(torch.full((len(rows), 3), 9), torch.tensor(new))
        for text, n in zip(rows.texts, new):
            text += [9] * n
        assert rows.length.tolist() == [len(text) for text in rows.texts]
        at = rows.last(1)[1]
        lengths = rows.length.tolist()
        assert at.start.tolist() == [n - 1 for n in lengths]
        assert (at.low, at.high) == (min(lengths) - 1, max(lengths) - 1)
        on = at.ahead(3)
        assert (on.start - at.start).tolist() == [3] * len(rows)
        assert (on.low - at.low, on.high - at.high) == (3, 3)
        for row, text in zip(rows.tokens.tolist(), rows.texts):
            assert row[: len(text)] == text
    tokens, at = rows.last(1)
    assert tokens[:, 0].tolist() == [text[-1] for text in rows.texts]
    assert at.start.tolist() == [len(text) - 1 for text in rows.texts]
