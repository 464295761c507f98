"""Servers that speak OpenAI's protocol almost: what their users report, through the gateway.

Each kind was reported to a gateway, a server or a client of this protocol; the official client
reads what our gateway makes of it.
"""

import json
import time
from contextlib import contextmanager

import openai
import pytest

import ensemble_lab as lab
from tests.contracts.registry import contract
from tests.support.raw_server import http, raw_server
from tests.systems.serve.mock import serving

CHAT = [{"role": "user", "content": "?"}]
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
SPENT = "out of memory"
TEXT = "Na\u00efve caf\u00e9 \u4f60\u597d \U0001f600"


def chunk(delta=None, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "1", "model": "m", "choices": [choice], **more}


def data(body, end=b"\n\n", field=b"data: "):
    return field + json.dumps(body, ensure_ascii=False).encode() + end


ONE, END = data(chunk({"content": TEXT})), data(chunk({}, "stop"))
DONE = b"data: [DONE]\n\n"


def slowly(*parts):
    """A stream in these pieces, each sent on its own."""

    def reply(peer):

        peer.sendall(STREAM)
        for part in parts:
            peer.sendall(part)
            time.sleep(0.002)

    return reply


@contextmanager
def client(*replies, **settings):
    """The official client of a gateway before a server with these replies, and its requests."""
    with raw_server(*replies) as (address, asked):
        member = lab.Member(lab.Upstream("m", address, **settings), parse="exact", price=(1.0, 1.0))
        vote = lab.MajorityVote()
        with serving(lab.app({"vote": vote}, {"m": member})) as url:
            made = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=20)
            yield made.chat.completions, asked


def streamed(*parts, **asked):
    """Text, tool calls and end of a stream, as the official client reads them, and all chunks."""
    with client(slowly(*parts)) as (chat, _):
        chunks = list(chat.create(model="m", messages=CHAT, stream=True, **asked))
    deltas = [choice.delta for one in chunks for choice in one.choices]
    ends = [c.finish_reason for one in chunks for c in one.choices if c.finish_reason]
    return "".join(delta.content or "" for delta in deltas), ends, chunks


USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
STREAMS = {
    "each byte alone, so characters and ends of line are cut": [
        bytes([byte]) for byte in ONE + END + DONE
    ],
    "CRLF at the ends of line": [(ONE + END + DONE).replace(b"\n", b"\r\n")],
    "comments that keep the connection open": [
        b": PROCESSING\n\n", ONE, b":\n\n", b": ping\n", END, b": x\n\n", DONE],
    "other fields of an event": [b"event: chunk\nid: 7\nretry: 10\n" + ONE, END, DONE],
    "no space after the colon": [data(chunk({"content": TEXT}), field=b"data:"), END, DONE],
    "no [DONE]": [ONE, END],
    "two [DONE]": [ONE, END, DONE, DONE],
    "chunks after [DONE]": [ONE, END, DONE, data(chunk({"content": "late"}))],
    "no blank line at the end": [ONE, END.rstrip(b"\n")],
    "a first chunk without choices": [data({"choices": [], "prompt_filter_results": []}), ONE, END],
    "choices null": [data({"choices": None, "usage": None}), ONE, END, DONE],
    "no choices": [data({"usage": USAGE}), ONE, END, DONE],
    "usage null in each": [data(chunk({"content": TEXT}, usage=None)), END, DONE],
    "usage in each, though nobody asked": [
        data(chunk({"content": TEXT}, usage=USAGE)), data(chunk({}, "stop", usage=USAGE)), DONE],
    "usage after the end, though nobody asked": [
        ONE, END, data({"choices": [], "usage": USAGE}), DONE],
    "role null, empty and in each": [
        data(chunk({"role": None, "content": ""})),
        data(chunk({"role": "", "content": TEXT})), END],
    "content null": [data(chunk({"role": "assistant", "content": None})), ONE, END, DONE],
    "delta null": [data(chunk(None)), ONE, data(chunk(None, "stop")), DONE],
    "an end with the last text": [data(chunk({"content": TEXT}, "stop")), DONE],
    "an empty finish_reason": [data(chunk({"content": TEXT}, "")), END, DONE],
    "no index": [data({"choices": [{"delta": {"content": TEXT}}]}), END, DONE],
    "id, model and object null": [
        data(chunk({"content": TEXT}) | {"id": None, "model": None, "object": None}), END, DONE],
    "fields that nobody knows": [data(chunk({"content": TEXT, "thoughts": None}, x=1)), END, DONE],
}  # fmt: skip


@contract("app", "Upstream")
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_of_this_kind_is_read_and_comes_out_right(kind):
    text, ends, chunks = streamed(*STREAMS[kind])
    assert text == TEXT and ends == ["stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    for one in chunks:
        assert one.object == "chat.completion.chunk" and one.model == "m" and one.usage is None
        assert one.id == chunks[0].id and len(one.choices) == 1


@contract("app")
@pytest.mark.parametrize(
    "parts",
    [
        [data(chunk({"content": TEXT}, usage=USAGE)), data(chunk({}, "stop", usage=USAGE)), DONE],
        [ONE, END, data({"choices": [], "usage": USAGE}), DONE],
        [ONE, data(chunk({}, "stop", usage=USAGE)), data({"choices": [], "usage": None})],
    ],
)
def test_usage_comes_once_after_the_end_wherever_the_server_has_it(parts):
    _, _, chunks = streamed(*parts, stream_options={"include_usage": True})
    *rest, last = chunks
    assert last.usage.total_tokens == 7 and last.choices == []
    assert all(one.usage is None and one.choices for one in rest)


def call(id=None, arguments="", name=None, **more):
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"function": function, **({"id": id, "type": "function"} if id else {}), **more}


TOOLS = {
    "as it should be": [
        [call("a", "", "f", index=0)], [call(None, '{"x":', index=0)], [call(None, "1}", index=0)],
        [call("b", '{"y":2}', "g", index=1)]],
    "no index, whole calls": [[call("a", '{"x":1}', "f")], [call("b", '{"y":2}', "g")]],
    "no index, two in one chunk": [[call("a", '{"x":1}', "f"), call("b", '{"y":2}', "g")]],
    "no index, in parts": [
        [call("a", '{"x":', "f")], [call(None, "1}")],
        [call("b", "", "g")], [call(None, '{"y":2}')]],
    "index null": [
        [call("a", '{"x":1}', "f", index=None)], [call("b", '{"y":2}', "g", index=None)]],
    "no list": [call("a", '{"x":1}', "f", index=0), call("b", '{"y":2}', "g", index=1)],
}  # fmt: skip


@contract("app", "Upstream")
@pytest.mark.parametrize("kind", TOOLS)
def test_parts_of_tool_calls_can_be_joined(kind):
    parts = [data(chunk({"content": None, "tool_calls": calls})) for calls in TOOLS[kind]]
    tools = [{"type": "function", "function": {"name": name}} for name in "fg"]
    _, ends, chunks = streamed(*parts, data(chunk({}, "tool_calls")), DONE, tools=tools)
    joined = {}
    for one in chunks:
        for part in one.choices[0].delta.tool_calls or ():
            name, arguments = joined.get(part.index, ("", ""))
            added = part.function.name or "", part.function.arguments or ""
            joined[part.index] = name + added[0], arguments + added[1]
    assert joined == {0: ("f", '{"x":1}'), 1: ("g", '{"y":2}')} and ends == ["tool_calls"]


def completion(message, **more):
    return {"choices": [{"message": message}], **more}


WHOLE = {
    "no role, no index, no end": (completion({"content": "4"}), "4"),
    "content null beside tool calls": (
        completion({"tool_calls": [call("a", "{}", "f")], "content": None}), None),
    "no content beside tool calls": (completion({"tool_calls": [call("a", "{}", "f")]}), None),
    "usage null": (completion({"content": "4"}, usage=None), "4"),
    "usage with text for numbers": (
        completion({"content": "4"}, usage={"prompt_tokens": "3", "completion_tokens": None}), "4"),
    "id, created and model null": (
        completion({"content": "4"}, id=None, created=None, model=None), "4"),
    "error null": (completion({"content": "4"}, error=None), "4"),
    "half of a character": (completion({"content": "4 \ud83d"}), None),
}  # fmt: skip


@contract("app", "Upstream")
@pytest.mark.parametrize("kind", WHOLE)
def test_a_completion_of_this_kind_is_repaired(kind):
    body, text = WHOLE[kind]
    with client(http(json.dumps(body).encode())) as (chat, _):
        made = chat.create(model="m", messages=CHAT)
    choice = made.choices[0]
    assert choice.message.role == "assistant" and choice.index == 0 and choice.finish_reason
    assert made.id and made.created and made.model == "m" and made.object == "chat.completion"
    if "tool_calls" in body["choices"][0]["message"]:
        assert choice.message.tool_calls[0].function.name == "f" and choice.message.content is None
    elif text is not None:
        assert choice.message.content == text


@contract("Member")
def test_content_in_parts_is_read_and_sent(tmp_path):
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "7"}]},
             {"type": "text", "text": "It is "}, {"type": "text", "text": "4"}]  # fmt: skip
    with raw_server(http(completion({"content": parts}))) as (address, asked):
        member = lab.Member(lab.Upstream("m", address), parse="last number")
        with serving(lab.app(lab.MajorityVote(), {"m": member})) as url:
            made = openai.OpenAI(base_url=f"{url}/v1", api_key="none").chat.completions.create(
                model="ensemble",
                messages=[{"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}],
            )
    assert made.choices[0].message.content == parts  # as the server gave it
    assert b'"content":[{"type":"text","text":"2 + 2?"}]' in asked[0]


@contract("Upstream")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "slow down", "code": 429}}, 429),
        ({"error": {"message": "slow down", "code": "429"}}, 429),
        ({"error": {"message": "bad", "status": 400}}, 400),
        ({"error": {"message": "lost", "code": 502}, "choices": None}, 502),
        ({"error": "no model is loaded"}, 502),
        ({"object": "error", "message": "too long", "code": 400}, 400),
        ({"error": {"message": "?", "code": True}}, 502),
        ({"choices": []}, 502),
        ({}, 502),
    ],
)
def test_an_error_with_status_200_is_an_error_with_its_reason(body, status):
    with client(http(body)) as (chat, _):
        with pytest.raises(openai.APIStatusError) as found:
            chat.create(model="m", messages=CHAT)
    assert found.value.status_code == status
    said = body.get("error", body)
    said = said.get("message") if isinstance(said, dict) else said
    if said and said != "?":
        assert said in str(found.value)


@contract("Upstream")
@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable Entity"])
def test_a_server_that_does_not_know_stream_options_streams_all_the_same(status):
    refusal = http({"error": {"message": "Unknown parameter: 'stream_options'."}}, status)
    good = STREAM + ONE + END + DONE
    with client(refusal, good) as (chat, asked):
        for _ in range(2):
            chunks = list(chat.create(model="m", messages=CHAT, stream=True))
            assert "".join(one.choices[0].delta.content or "" for one in chunks) == TEXT
    # It is asked without the option at once, and never with it again.
    assert [b"stream_options" in one for one in asked] == [True, False, False]


@contract("Upstream")
def test_another_refusal_of_a_stream_is_said_once():
    refusal = http({"error": {"message": "max_tokens is too large"}}, "400 Bad Request")
    with client(refusal) as (chat, asked):
        with pytest.raises(openai.BadRequestError, match="max_tokens is too large"):
            chat.create(model="m", messages=CHAT, stream=True)
    assert len(asked) == 1


@contract("Upstream")
@pytest.mark.parametrize(
    "error",
    [{"error": {"message": SPENT}}, {"error": SPENT}, {"object": "error", "message": SPENT}],
)
def test_an_error_in_mid_stream_reaches_the_official_client(error):
    with client(slowly(ONE, data(error))) as (chat, _):
        stream = chat.create(model="m", messages=CHAT, stream=True)
        with pytest.raises(openai.APIError, match=SPENT):
            list(stream)


@contract("Upstream")
@pytest.mark.parametrize("tail", ["", "/"])
def test_an_address_may_end_with_a_slash(tail):
    with raw_server(http(completion({"content": "4"}))) as (address, asked):
        member = lab.Member(lab.Upstream("m", address + tail))
        with serving(lab.app({}, {"m": member})) as url:
            openai.OpenAI(base_url=f"{url}/v1/", api_key="none").chat.completions.create(
                model="m", messages=CHAT
            )
    assert asked[0].startswith(b"POST /v1/chat/completions HTTP/1.1")
