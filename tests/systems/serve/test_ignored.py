"""Parameters that a server passes over are named, where its client would take it for an answer."""

import json

import httpx2
import openai
import pytest

from tests.systems.serve.mock import finish
from tests.systems.serve.test_hostile_upstreams import cut, post, raw_server


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"n": 2}, {"n": 1}),
        ({"logprobs": True}, {"logprobs": False}),
        ({"tool_choice": "required"}, {"tool_choice": "auto"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"tool_choice": "none"}),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "text"}}),
    ],
)
def test_what_transformers_serve_drops_is_a_400_with_the_parameter(behind, asked, kept):
    says = {"text": "It is 4.", "choices": 1, "chunks": ["It is 4.", finish("small")]}
    url, _ = behind(lambda body: says)
    found, (name,) = post(url, **asked), asked
    assert found.status_code == 400 and found.json()["error"]["param"] == name
    streamed = post(url, stream=True, **asked)
    last = [json.loads(x[6:]) for x in streamed.text.splitlines() if x.startswith("data: {")][-1]
    assert last["error"]["code"] == "ignored" and name in last["error"]["message"]
    assert "[DONE]" not in streamed.text
    assert post(url, **kept).status_code == 200 and "[DONE]" in post(url, stream=True, **kept).text


def test_json_that_was_asked_for_is_passed_on(behind):
    says = {"text": '{"a": 1}', "chunks": ['{"a"', ": 1}", finish("small")]}
    url, _ = behind(lambda body: says)
    form = {"response_format": {"type": "json_object"}}
    assert post(url, **form).status_code == 200
    assert "[DONE]" in post(url, stream=True, **form).text


def test_an_error_that_is_not_escaped_ends_a_stream_in_json(behind):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    piece = b'data: {"choices": [{"index": 0, "delta": {"content": "4"}}]}\n\n'
    with raw_server(cut(head, piece, b'data: {"error": "no "such" mode"}\n\n')) as (address, _):
        url, _ = behind(str, url=address)
        found = post(url, stream=True)
    *_, last = [json.loads(line[6:]) for line in found.text.splitlines() if line]
    assert last["error"]["code"] == "stream" and "[DONE]" not in found.text


def test_an_error_that_is_a_text_is_told(behind):
    url, _ = behind(lambda body: {"chunks": ["4", b'data: {"error": "out of memory"}\n\n']})
    found = post(url, stream=True)
    *_, last = [json.loads(line[6:]) for line in found.text.splitlines() if line]
    assert last["error"]["message"] == "small broke off: out of memory"


def test_what_was_paid_for_an_answer_that_is_not_given_is_said(behind):
    url, mock = behind(lambda body: {"text": "It is 4.", "choices": 1, "tokens": (1000, 500)})
    found = post(url, n=2)
    assert found.status_code == 400 and found.headers["x-should-retry"] == "false"
    assert found.headers["x-ensemble-called"] == "small" and len(mock.asked) == 1
    assert float(found.headers["x-ensemble-cost"]) == 0.002  # 1 and 2 USD per million tokens
    metrics = httpx2.get(f"{url}/metrics").text
    assert 'ensemble_cost_usd_total{model="small"} 0.002' in metrics
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "?"}], n=2
        )
    assert error.value.param == "n" and error.value.code == "ignored" and len(mock.asked) == 2
