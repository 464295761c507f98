"""Prompts as people hold them: a text, a chat or ids in any form gives what its plain form gives,
and what is not a prompt is refused by a short message with the fix."""

import re
import signal
import threading
import time
from collections import UserDict, namedtuple
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given as each
from hypothesis import settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.tokens.decode import decode, stream
from ensemble_lab.tokens.measure import acceptance, measure_pair
from ensemble_lab.tokens.tracing import trace
from tests.support.tiny_llama import save_tiny_llama
from tests.support.toy_lm import toy

TEXTS = ["Write a poem.\n", "What is the capital of France?\n", "Count to five.\n"]
SHORT = {"max_new_tokens": 6}
IDS = [1, 2, 3]


@pytest.fixture(scope="module")
def tiny():
    return lab.load("tiny", "cpu", "float64")


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    return lab.load(save_tiny_llama(tmp_path_factory.mktemp("chatty")), "cpu", "float64")


def tokens_of(made):
    return [one.tokens for one in made] if isinstance(made, list) else made.tokens


# One prompt in many forms

ONE = {
    "list": IDS,
    "tuple": tuple(IDS),
    "range": range(1, 4),
    "generator": (i for i in IDS),
    "array": np.array(IDS),
    "small integers": np.array(IDS, np.uint8),
    "list of numpy integers": [np.int64(i) for i in IDS],
    "list of arrays without dimensions": [np.array(i) for i in IDS],
    "list of tensors": list(torch.tensor(IDS)),
    "tensor": torch.tensor(IDS),
    "int32 tensor": torch.tensor(IDS, dtype=torch.int32),
    "series": pd.Series(IDS, index=[5, 6, 7]),
    "arrow": pa.array(IDS),
    "mapping": {"input_ids": IDS},
    "mapping with more": UserDict(input_ids=IDS, token_type_ids=[0, 0, 0], attention_mask=[1] * 3),
    "left padding": {"input_ids": [0, 0, *IDS], "attention_mask": [0, 0, 1, 1, 1]},
    "right padding": {"input_ids": [*IDS, 5], "attention_mask": np.array([1, 1, 1, 0])},
    "mask of bools": {"input_ids": [*IDS, 5], "attention_mask": torch.tensor([1, 1, 1, 0]).bool()},
}
MANY = {
    "list of lists": [IDS, [4, 5]],
    "generator of lists": (row for row in (IDS, [4, 5])),
    "list of arrays": [np.array(IDS), torch.tensor([4, 5])],
    "list of rows": [torch.tensor([IDS]), torch.tensor([[4, 5]])],
    "object array": np.array([IDS, [4, 5]], dtype=object),
    "ragged mapping": {"input_ids": [IDS, [4, 5]], "attention_mask": [[1, 1, 1], [1, 1]]},
    "list of mappings": [{"input_ids": IDS}, {"input_ids": [[4, 5]]}],
    "padded left": {
        "input_ids": torch.tensor([IDS, [0, 4, 5]]),
        "attention_mask": torch.tensor([[1, 1, 1], [0, 1, 1]]),
    },
    "padded right": {
        "input_ids": np.array([IDS, [4, 5, 0]]),
        "attention_mask": [[1] * 3, [1, 1, 0]],
    },
    "list of tensors": {"input_ids": [torch.tensor(IDS), torch.tensor([4, 5])]},
}


@pytest.mark.parametrize("form", ONE)
def test_ids_of_one_prompt(form):
    assert read_prompts(ONE[form]) == ([IDS], True)


@pytest.mark.parametrize("form", MANY)
def test_ids_of_several_prompts(form):
    assert read_prompts(MANY[form]) == ([IDS, [4, 5]], False)


@pytest.mark.parametrize(
    "form", [np.array([IDS]), torch.tensor([IDS]), [IDS], [tuple(IDS)], {"input_ids": [IDS]}]
)
def test_a_batch_of_one_is_a_batch(form):
    made = decode(toy(0), form, **SHORT)
    assert isinstance(made, list)
    assert [made[0].tokens] == [decode(toy(0), IDS, **SHORT).tokens]


@settings(max_examples=100, deadline=None)
@each(st.data())
def test_rows_are_what_the_mask_leaves(data):
    rows = data.draw(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=6), min_size=1))
    pad, most = data.draw(st.integers(0, 99)), max(map(len, rows)) + data.draw(st.integers(0, 2))
    left = data.draw(st.booleans())
    table, mask = [], []
    for row in rows:
        gap = most - len(row)
        table.append([pad] * gap + row if left else row + [pad] * gap)
        mask.append([0] * gap + [1] * len(row) if left else [1] * len(row) + [0] * gap)
    kind = data.draw(st.sampled_from([list, np.array, torch.tensor]))
    encoded = {"input_ids": kind(table), "attention_mask": kind(mask)}
    assert read_prompts(encoded) == (rows, False)


# Texts and chats

SAID = {"role": "user", "content": "the model"}
PARTS = [{"type": "text", "text": "the "}, {"type": "text", "text": "model"}]


@pytest.mark.parametrize(
    "several",
    [
        TEXTS,
        tuple(TEXTS),
        (text for text in TEXTS),
        iter(TEXTS),
        dict.fromkeys(TEXTS).keys(),
        np.array(TEXTS),
        pd.Series(TEXTS, index=[3, 1, 2]),
        pd.Series(TEXTS, dtype="string"),
        pd.Index(TEXTS),
        pa.array(TEXTS),
    ],
    ids=lambda given: type(given).__name__,
)
def test_three_prompts_give_three_texts(tiny, several):
    made = decode(tiny, several, **SHORT)
    assert [one.text for one in made] == [decode(tiny, text, **SHORT).text for text in TEXTS]


def test_what_a_tokenizer_returns_is_its_ids(tiny):
    wanted = decode(tiny, TEXTS[0], **SHORT)
    encoded = tiny.tokenizer(TEXTS[0])
    assert decode(tiny, encoded, **SHORT).text == wanted.text
    assert decode(tiny, encoded["input_ids"], **SHORT).tokens == wanted.tokens
    assert decode(tiny, dict(encoded), **SHORT).tokens == wanted.tokens
    assert decode(tiny, encoded["input_ids"], tiny, gamma=3, **SHORT).tokens == wanted.tokens
    for kind in ("pt", "np"):
        [one] = decode(tiny, tiny.tokenizer(TEXTS[0], return_tensors=kind), **SHORT)
        assert one.tokens == wanted.tokens
    assert tiny.generate(encoded, max_new_tokens=6).tokens == wanted.tokens


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_hidden(tiny, side):
    encoded = tiny.tokenizer(TEXTS, padding=True, padding_side=side, return_tensors="pt")
    assert not encoded["attention_mask"].all()
    wanted = [decode(tiny, text, **SHORT).tokens for text in TEXTS]
    assert tokens_of(decode(tiny, encoded, **SHORT)) == wanted
    assert tokens_of(decode(tiny, encoded, "lookup", gamma=2, **SHORT)) == wanted
    for ids in (encoded["input_ids"], encoded["input_ids"].tolist()):
        with pytest.raises(ModelError, match=r"with token \d+, .* attention_mask included"):
            decode(tiny, ids, **SHORT)


def test_prompts_of_one_length_are_not_taken_for_padded(tiny):
    start, end = tiny.tokenizer.bos_token_id, tiny.tokenizer.eos_token_id
    rows = [[start, 7, 8, end], [start, 9, 9, end]]
    assert read_prompts(rows) == (rows, False)
    assert len(decode(tiny, rows, **SHORT)) == 2


def test_texts_that_end_with_the_padding_token_are_read_where_a_mask_says_so(tiny):
    """The token that pads may also end a text, as that of SmolLM2 does."""
    end = tiny.tokenizer.pad_token_id
    rows = [[7, 8, end], [9, 10, 11]]
    wanted = [decode(tiny, row, **SHORT).tokens for row in rows]
    ones = np.ones((2, 3), int)
    given = [
        {"input_ids": rows, "attention_mask": ones},
        {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(ones)},
        [{"input_ids": row, "attention_mask": [1, 1, 1]} for row in rows],
    ]
    for prompts in given:
        assert tokens_of(decode(tiny, prompts, **SHORT)) == wanted
    assert tokens_of(decode(tiny, [[*rows[0], 7], rows[1]], **SHORT))[1] == wanted[1]
    for ambiguous, what in (
        (rows, "row 0 ends"),
        (np.array(rows), "row 0 ends"),
        ({"input_ids": rows}, "row 0 ends"),
        ([row[::-1] for row in reversed(rows)], "row 1 begins"),
    ):
        with pytest.raises(ModelError, match=f"{what} with token {end}.*'attention_mask': ") as no:
            decode(tiny, ambiguous, **SHORT)
        check_plain(no)


def test_a_chat_in_many_forms(chatty):
    wanted = decode(chatty, "the model", **SHORT).tokens
    made = chatty.tokenizer.apply_chat_template([SAID], add_generation_prompt=True)
    one = [[SAID], (SAID,), SAID, UserDict(SAID), [{**SAID, "content": PARTS}], made]
    one += [
        iter([SAID]),
        [{**SAID, "name": "Ann"}],
        [{"role": "user", "content": PARTS}],
    ]
    for given in one:
        assert decode(chatty, given, **SHORT).tokens == wanted, given
        if not hasattr(given, "__next__"):
            assert chatty.generate(given, max_new_tokens=6).tokens == wanted
            assert chatty(given).text
    for given in ([[SAID], "the model"], [[SAID], [SAID]], ([m] for m in (SAID, SAID))):
        assert tokens_of(decode(chatty, given, **SHORT)) == [wanted, wanted]
    turns = [SAID, {"role": "assistant", "content": "answers"}, SAID]
    assert not isinstance(decode(chatty, turns, **SHORT), list)  # one chat of three turns


def test_mixed_kinds_of_prompts_are_fine(chatty):
    ids = chatty.encode("the model")["input_ids"]
    made = decode(chatty, ["the model", ids[0], [SAID], {"input_ids": ids}], **SHORT)
    assert len({one.tokens for one in made}) == 1


# Refused

Row = namedtuple("Row", "index prompt")
REFUSED = {
    "message and text": ([SAID, "text"], "prompt 1 is a single message among other prompts"),
    "ids and text": ([1, "text"], "prompt 1 is 1: token ids and other prompts are mixed"),
    "text and ids": (["text", np.int64(7)], "prompt 2 is 7: token ids and other"),
    "floats": ([1.0, 2.0], "token id 1.0 is not a whole number"),
    "array of floats": (np.array([[1.5, 2.0]]), "token id 1.5 is not a whole number"),
    "tensor of floats": (torch.tensor(IDS).float(), "token id 1.0 is not a whole number"),
    "bools": ([True, False], "token id True is not a whole number"),
    "array of bools": (np.array([True]), "token id True is not a whole number"),
    "decimals": ([Decimal(1)], "is not a whole number"),
    "no dimensions": (np.array(3), "0 dimensions|neither text"),
    "tensor without dimensions": (torch.tensor(3), "0 dimensions|neither text"),
    "three dimensions": (np.ones((1, 1, 3), int), "3 dimensions"),
    "a set": ({"a", "b"}, "set, which has no order"),
    "bytes": (b"text", "one string"),
    "None": (None, "prompt None is neither text"),
    "a number": (7, "prompt 7 is neither text nor a list"),
    "a gap": (pd.Series(["a", None]), r"prompt 2 is missing .*leave it out"),
    "NaN": (["a", float("nan")], r"prompt 2 is missing"),
    "pd.NA": (["a", pd.NA], r"prompt 2 is missing"),
    "a row of a frame": (Row(1, "text"), "Row, which iterates over its fields"),
    "a frame": (pd.DataFrame({"prompt": ["a"]}), r"DataFrame, which iterates over its columns"),
    "an arrow table": (pa.table({"prompt": ["a"]}), "Table, which iterates over its columns"),
    "another mapping": ({"text": "a"}, r"mapping of 'text'.*give prompt\['text'\]"),
    "a request": ({"messages": [SAID], "model": "m"}, r"give prompt\['messages'\]"),
    "a list of lists of texts": ([["a", "b"], "c"], "prompt 1 is itself a list of 2"),
    "nothing": ([], "the prompt is empty"),
    "no rows": (np.empty((0, 3), int), "the prompt is empty"),
    "an empty generator": ((x for x in ()), "the prompt is empty"),
    "an empty row": ([IDS, []], "prompt 2: the prompt is empty"),
    "hidden": ({"input_ids": IDS, "attention_mask": [0, 0, 0]}, "the prompt is empty"),
    "short mask": ({"input_ids": IDS, "attention_mask": [1, 1]}, "differ in length"),
    "odd mask": ({"input_ids": IDS, "attention_mask": [0.0, -1e9, 0.0]}, "_mask holds -1"),
    "an image": ({"input_ids": IDS, "pixel_values": [1]}, "holds pixel_values"),
    "text as ids": ({"input_ids": "text"}, "input_ids holds 'text'"),
    "ids and rows": ({"input_ids": [1, [2]]}, "mixes ids and lists"),
    "no role": ([{"content": "a"}], "message 1 has no 'role'"),
    "no content": ({"role": "user"}, "message 1 has no 'content'"),
    "ShareGPT": ([SAID, {"from": "human", "value": "a"}], "message 2 has no 'role'"),
    "unknown role": ([{"role": "usr", "content": "a"}], "has the role 'usr'; use one of system"),
    "role None": ([{"role": None, "content": "a"}], "has the role None"),
    "no text": ([{"role": "user", "content": None}], "has the content None"),
    "a number as content": ([{"role": "user", "content": np.int64(3)}], "has the content 3"),
    "no parts": ([{"role": "user", "content": []}], r"has the content \[\]"),
    "half a character": ("half \ud83d", "half a character; take it out, as text.encode"),
    "half in a message": ([{**SAID, "content": "\udc80"}], "half a character; take it out"),
    "half in a part": (
        [{"role": "user", "content": [{"type": "text", "text": "\udc80"}]}], "half a character"
    ),
    "odd part": ([{"role": "user", "content": [{"text": "a"}]}], "has the part"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_prompt_is_refused_in_a_line(case, chatty):
    given, message = REFUSED[case]
    with pytest.raises(ModelError, match=message) as refusal:
        decode(chatty, given, **SHORT)
    check_plain(refusal)
    if case not in ("an empty generator",):
        with pytest.raises(ModelError) as refusal:
            chatty(given)
        check_plain(refusal)


def check_plain(refusal):
    said = str(refusal.value)
    assert len(said) <= 300, said
    assert "\n" not in said
    assert not re.search(r"np\.|numpy|tensor\(|dtype", said)


def test_huge_values_are_cut():
    for given in (object(), b"x" * 10**6, {"x" * 10**5: 1}, [{"role": "x" * 10**5, "content": ""}]):
        with pytest.raises(ModelError) as refusal:
            read_prompts(given)
        check_plain(refusal)


@pytest.mark.parametrize("given, token", [([1, 6], 6), ([[1, 2], [3, -1]], -1), (np.array([9]), 9)])
def test_ids_that_the_model_does_not_know(given, token):
    with pytest.raises(ModelError, match=rf"token id {token}; a toy has 0 to 5"):
        decode(toy(0), given, **SHORT)


def test_a_part_that_is_no_text_is_named(chatty):
    image = {"type": "image_url", "image_url": {"url": "data:" + "A" * 10_000}}
    for call in (lambda chat: decode(chatty, chat), chatty.generate, chatty):
        with pytest.raises(ModelError, match="part of type 'image_url'.*text only") as refusal:
            call([{"role": "user", "content": [*PARTS, image]}])
        check_plain(refusal)


def test_an_endpoint_gets_the_parts_as_they_are():
    from ensemble_lab.models.language import chat_messages

    chat = [{"role": "user", "content": [*PARTS, {"type": "image_url", "image_url": "x"}]}]
    assert chat_messages(chat) == chat
    assert chat_messages(chat[0]) == chat
    assert chat_messages("hello") == [{"role": "user", "content": "hello"}]
    for given in (IDS, {"input_ids": IDS}):
        with pytest.raises(ModelError, match="is neither text nor a list of messages"):
            chat_messages(given)


def test_a_template_that_refuses_is_quoted(chatty, monkeypatch):
    template = "{{ raise_exception('roles must alternate') }}"
    monkeypatch.setattr(chatty.tokenizer, "chat_template", template)
    with pytest.raises(ModelError, match=r"chat template of .* refuses .*roles must alternate"):
        decode(chatty, [SAID])


ENDLESS = "{% set r = range(99999) %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}"


def no_template_runs():
    """Whether the thread of the last template ends by itself."""
    end = time.monotonic() + 30
    while any(thread.name == "chat template" for thread in threading.enumerate()):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (ENDLESS, "it takes longer than 0.5 s"),
        ("{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n }}{% endmacro %}{{ f(99) }}", "0.5 s"),
        ("{{ 'a' * 9999999 }}", "it writes 9,999,999 characters"),
        ("{{ '\\ud800' }}", "half a character"),
    ],
)
def test_a_template_without_end_is_stopped(chatty, monkeypatch, template, why):
    monkeypatch.setattr(chatty.tokenizer, "chat_template", template)
    if "0.5 s" in why:  # a busy machine may need as long for the others
        monkeypatch.setattr("ensemble_lab.models.templates.MOST_SECONDS", 0.5)
    with pytest.raises(ModelError, match=why) as refusal:
        chatty([SAID])
    check_plain(refusal)
    assert no_template_runs()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms on Windows")
def test_an_alarm_of_the_callers_own_is_no_error_of_the_template(chatty, monkeypatch):
    def stop(*_):
        raise TimeoutError("my own alarm")

    monkeypatch.setattr(chatty.tokenizer, "chat_template", ENDLESS)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(TimeoutError, match="^my own alarm$"):
            chatty([SAID])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert no_template_runs()


def test_one_at_a_time(chatty):
    with pytest.raises(ModelError, match="these are 2 prompts; give one at a time"):
        chatty(["a", "b"])
    assert chatty(["the model"]).text == chatty("the model").text


@pytest.mark.parametrize("target", ["tiny", None, [1, 2, 3]])
def test_a_target_that_is_none(target):
    with pytest.raises(ModelError, match=r"the target is .*give what load makes"):
        decode(target, "text")


def test_settings_of_the_wrong_kind():
    for name, value in (
        ("max_new_tokens", 2.0), ("max_new_tokens", "9"), ("gamma", 2.5), ("gamma", True),
        ("temperature", "hot"), ("temperature", None), ("top_k", 2.0), ("top_p", "0.9"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name}={value!r} is no"):
            decode(toy(0), IDS, **{"temperature": 1.0, name: value})
    numpy = {"gamma": np.int64(2), "top_k": np.int32(3), "temperature": np.float32(1), "seed": 0}
    plain = {"gamma": 2, "top_k": 3, "temperature": 1.0, "seed": 0}
    made = [decode(toy(0), IDS, "lookup", **each, **SHORT).tokens for each in (numpy, plain)]
    assert made[0] == made[1]


# Sisters


def test_stream_trace_and_measure_take_what_decode_takes(tiny):
    encoded = tiny.tokenizer(TEXTS[0])
    decoding = stream(tiny, (text for text in TEXTS), **SHORT)
    assert not decoding.alone
    assert len(list(decoding.generations)) == 3
    wanted = trace(tiny, TEXTS[0], "lookup", gamma=2, **SHORT)
    for given in (encoded, encoded["input_ids"], [TEXTS[0]]):
        traced = trace(tiny, given, "lookup", gamma=2, **SHORT)
        assert (traced.rounds, traced.prompt) == (wanted.rounds, wanted.prompt)
    with pytest.raises(ModelError, match="one prompt is traced at a time; these are 3"):
        trace(tiny, TEXTS)
    with pytest.raises(ValueError, match="names is one string"):
        trace(tiny, TEXTS[0], names="ab", **SHORT)
    for given in (TEXTS[0], encoded, iter(TEXTS[:1])):
        assert measure_pair(tiny, given, tiny, 2, **SHORT).alpha == 1
    with pytest.raises(ModelError, match="the prompt is empty"):
        measure_pair(tiny, [], tiny, 2)
    made = decode(tiny, TEXTS, tiny, gamma=2, **SHORT)
    assert acceptance(made) == acceptance(iter(made)) == acceptance(made[0]) == 1
