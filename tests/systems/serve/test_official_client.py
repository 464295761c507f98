"""The official client against the gateway: whole and streamed, sync, async and raw."""

import asyncio
import math

import openai
import pytest

from tests.systems.serve.mock import event, finish

CHAT = [{"role": "user", "content": "6 x 7?"}]


def client(url, **more):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=20, **more)


def by_model(body):
    return {
        "text": {"small": "It is 41.", "big": "It is 42.", "third": "I say 42."}[body["model"]],
        "logprobs": [math.log(0.4)],
        "tokens": (10, 5),
        "chunks": ["It ", "is ", "42.", finish(body["model"]), b"data: [DONE]\n\n"],
    }


def test_models_lists_policies_and_members(behind):
    url, _ = behind(by_model)
    found = {model.id: model.owned_by for model in client(url).models.list()}
    assert list(found) == ["vote", "cascade", "small", "big", "third"]


def test_a_vote_and_its_usage_cost_and_rule(behind):
    url, mock = behind(by_model)
    raw = client(url).chat.completions.with_raw_response.create(model="vote", messages=CHAT)
    found = raw.parse()
    assert found.choices[0].message.content == "It is 42." and found.model == "vote"
    usage = found.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (30, 15, 45)
    assert raw.headers["x-ensemble-called"] == "small,big,third" and len(mock.asked) == 3
    assert float(raw.headers["x-ensemble-cost"]) == pytest.approx(3 * 20e-6)
    assert 0 < float(raw.headers["x-ensemble-overhead-ms"]) < 1000
    assert "2 of 3" in raw.headers["x-ensemble-rule"] and raw.headers["x-request-id"]
    assert found.choices[0].logprobs is None  # asked for by the gateway, not by the client


def test_a_cascade_escalates_and_says_why(behind):
    url, mock = behind(by_model)
    raw = client(url).chat.completions.with_raw_response.create(model="cascade", messages=CHAT)
    assert raw.parse().choices[0].message.content == "It is 42."
    assert [body["model"] for body in mock.asked] == ["small", "big"]
    assert raw.headers["x-ensemble-rule"].startswith("small 0.400 against 0.5; big")


def test_one_member_gets_the_whole_request(behind):
    url, mock = behind(by_model)
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    chat = [{"role": "user", "content": [{"type": "text", "text": "?"}, image]}]
    reply = client(url).chat.completions.create(model="small", messages=chat, tools=tools, n=2)
    assert len(reply.choices) == 2
    assert mock.asked[0]["tools"] == tools and mock.asked[0]["n"] == 2
    assert mock.asked[0]["messages"] == chat
    for more, param in (({"tools": tools}, "tools"), ({"n": 2}, "n"), ({}, "messages")):
        messages = chat if param == "messages" else CHAT
        with pytest.raises(openai.BadRequestError) as caught:
            client(url).chat.completions.create(model="vote", messages=messages, **more)
        assert caught.value.param == param
    assert len(mock.asked) == 1


@pytest.mark.parametrize("model", ["small", "vote", "cascade"])
@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_has_role_first_and_usage_only_when_asked_for(behind, model, usage):
    url, _ = behind(by_model)
    more = {"stream_options": {"include_usage": True}} if usage else {}
    made = client(url).chat.completions.create(model=model, messages=CHAT, stream=True, **more)
    chunks = list(made)
    last = chunks.pop() if usage else None
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "stop"]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "It is 42."
    assert len({chunk.id for chunk in chunks}) == 1 and chunks[0].model == model
    if last is not None:
        assert last.choices == []
        assert last.usage.total_tokens == {"vote": 45, "cascade": 30, "small": 0}[model]


def test_a_stream_of_a_lenient_server_is_repaired(behind):
    """As `transformers serve`: usage unasked on the finish, no [DONE], no role."""

    def says(body):
        counts = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        return {"chunks": ["42", finish(body["model"] + "@main", usage=counts)]}

    url, _ = behind(says)
    plain = list(client(url).chat.completions.create(model="big", messages=CHAT, stream=True))
    assert [chunk.usage for chunk in plain] == [None, None]
    assert plain[0].choices[0].delta.role == "assistant"
    more = {"stream_options": {"include_usage": True}}
    asked = list(
        client(url).chat.completions.create(model="big", messages=CHAT, stream=True, **more)
    )
    assert asked[-1].choices == [] and asked[-1].usage.total_tokens == 4


def test_asynchronous_clients_together(behind):
    url, _ = behind(by_model)

    async def main():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as one:
            create = one.chat.completions.create
            whole = [create(model="vote", messages=CHAT) for _ in range(16)]
            stream = await create(model="small", messages=CHAT, stream=True)
            text = "".join([c.choices[0].delta.content or "" async for c in stream])
            return [w.choices[0].message.content for w in await asyncio.gather(*whole)], text

    whole, text = asyncio.run(main())
    assert whole == ["It is 42."] * 16 and text == "It is 42."


def test_errors_are_the_clients_own(behind, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_LAB_KEY", "right-key")
    url, mock = behind(by_model)
    with pytest.raises(openai.AuthenticationError) as caught:
        client(url).models.list()
    assert caught.value.code == "invalid_api_key" and "right-key" not in str(caught.value)
    right = openai.OpenAI(base_url=f"{url}/v1", api_key="right-key", max_retries=0)
    with pytest.raises(openai.NotFoundError, match="did you mean 'small'") as caught:
        right.chat.completions.create(model="smal", messages=CHAT)
    assert caught.value.code == "model_not_found" and caught.value.param == "model"
    right.chat.completions.create(model="small", messages=CHAT)
    assert b"authorization" not in mock.headers[0]  # the client's key is not the upstream's


def test_a_rate_limit_is_passed_on(behind):
    url, _ = behind(lambda body: {"status": 429, "headers": {"retry-after": "121"}, "raw": b"{}"})
    with pytest.raises(openai.RateLimitError) as caught:
        client(url).chat.completions.create(model="small", messages=CHAT)
    assert caught.value.response.headers["retry-after"] == "121"


def test_a_stream_that_breaks_is_an_error_of_the_client(behind):
    broken = event({"error": {"message": "out of memory", "type": "server_error"}})
    url, _ = behind(lambda body: {"chunks": ["4", broken]})
    made = client(url).chat.completions.create(model="small", messages=CHAT, stream=True)
    with pytest.raises(openai.APIError, match="out of memory"):
        list(made)
