"""The client of one server, against servers on loopback that misbehave."""

import asyncio
import json
import socket
import threading
import time

import pytest

from ensemble_lab.models.endpoints.connection import MOST_BYTES
from ensemble_lab.systems.serve.resilience import Breaker, Budget, Hedge
from ensemble_lab.systems.serve.upstream import Upstream
from ensemble_lab.systems.serve.wire import UpstreamError
from tests.systems.serve.mock import Mock, event, serving

SECRET = "sk-0123456789abcdef"
PROMPT = "a patient of mine, born in 1961"
BODY = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}


def asked(address, *, seconds=10.0, calls=1, key=SECRET, gap=0.0, **settings):
    """The replies, or errors, of calls one after another."""

    async def work():
        upstream = Upstream("m", f"{address}/v1", key, **settings)
        found = []
        try:
            for _ in range(calls):
                try:
                    found.append(await upstream.ask(BODY, time.monotonic() + seconds))
                except UpstreamError as error:
                    found.append(error)
                await asyncio.sleep(gap)
        finally:
            await upstream.aclose()
        return found

    return asyncio.run(work())


def saved(tokens=10, share=0.1):
    budget = Budget(share)
    for _ in range(int(tokens / share)):
        budget.earn()
    return budget


def test_a_reply_and_what_was_sent():
    mock = Mock(lambda body: "hello")
    with serving(mock) as address:
        (reply,) = asked(address, seconds=7.0)
    assert reply.status == 200 and reply.body["choices"][0]["message"]["content"] == "hello"
    assert 0 < reply.seconds < 5 and mock.asked == [BODY]
    headers = mock.headers[0]
    assert headers[b"authorization"] == f"Bearer {SECRET}".encode()
    assert 6 < float(headers[b"x-stainless-read-timeout"]) <= 7


def test_the_connection_is_kept_between_calls():
    ports = set()

    class Watching(Mock):
        async def __call__(self, scope, receive, send):
            ports.add(tuple(scope.get("client") or ()))
            await super().__call__(scope, receive, send)

    with serving(Watching(lambda body: "hi")) as address:
        assert all(r.status == 200 for r in asked(address, calls=5))
    assert len(ports - {()}) == 1


def test_a_retry_succeeds_and_only_the_budget_allows_it():
    mock = Mock(lambda body: {"status": 503, "headers": {"retry-after-ms": "1"}})
    with serving(mock) as address:
        (error,) = asked(address, budget=Budget())
        assert error.status == 503 and len(mock.asked) == 1
        asked(address, budget=saved(1))
        assert len(mock.asked) == 3
        mock.says = lambda body: (
            "hi" if len(mock.asked) == 6 else {"status": 429, "headers": {"retry-after-ms": "1"}}
        )
        (reply,) = asked(address, budget=saved())
    assert reply.status == 200 and len(mock.asked) == 6


def test_a_storm_of_failures_is_two_and_a_tenth_more_calls():
    mock = Mock(lambda body: {"status": 429, "headers": {"retry-after-ms": "1"}})
    with serving(mock) as address:
        errors = asked(address, calls=100)
    assert [e.status for e in errors] == [429] * 100 and len(mock.asked) == 112


@pytest.mark.parametrize(
    ("status", "headers", "calls"),
    [
        (500, {"x-should-retry": "false"}, 1),
        (400, {}, 1),
        (400, {"x-should-retry": "true", "retry-after-ms": "1"}, 3),
        (429, {"retry-after": "20"}, 1),  # later than the deadline
        (429, {"retry-after": "121"}, 1),
    ],
)
def test_a_servers_word_on_retries_is_kept(status, headers, calls):
    mock = Mock(lambda body: {"status": status, "headers": headers})
    with serving(mock) as address:
        start = time.monotonic()
        (error,) = asked(address, budget=saved())
    assert error.status == status and len(mock.asked) == calls and time.monotonic() - start < 4
    assert error.retry_after == (float(headers["retry-after"]) if "retry-after" in headers
                                 else 1e-3 if "retry-after-ms" in headers else None)  # fmt: skip


def test_a_redirect_is_not_followed():
    thief = Mock(lambda body: "stolen")
    with serving(thief) as elsewhere:
        there = {"status": 307, "headers": {"location": f"{elsewhere}/v1/chat/completions"}}
        with serving(Mock(lambda body: there)) as address:
            (error,) = asked(address)
    assert error.status == 307 and not thief.asked and not thief.headers


@pytest.mark.parametrize(
    "raw", [b"{nope", b"[1]", b"", b"[" * 100_000, b"\xff\xfe", b"1" * (MOST_BYTES + 1)]
)
def test_nonsense_is_named_and_not_asked_again(raw):
    mock = Mock(lambda body: {"raw": raw})
    with serving(mock) as address:
        (error,) = asked(address, budget=saved())
    assert (error.status, error.kind) == (502, "nonsense") and len(mock.asked) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": f"key {SECRET} may not ask {PROMPT}"}},
        {"detail": f"bad token {SECRET}"},
        {"detail": f"cannot read: {PROMPT[3:25]}"},
        {"message": "Authorization: Bearer hf_abcdefghijkl is wrong"},
        [{"input": BODY}],
    ],
)
def test_neither_key_nor_prompt_is_in_an_error(said):
    answer = {"status": 400, "raw": json.dumps(said).encode()}
    with serving(Mock(lambda body: answer)) as address:
        (error,) = asked(address)
    written = f"{error} {error!r} {error.__dict__} {error.__cause__}"
    for secret in (SECRET, "hf_abc", "patient", "1961"):
        assert secret not in written
    assert error.__suppress_context__ or error.__context__ is None


def test_a_reason_that_quotes_nothing_is_shown():
    answer = {"status": 400, "raw": b'{"error": {"message": "max_tokens is too large"}}'}
    with serving(Mock(lambda body: answer)) as address:
        (error,) = asked(address)
    assert error.message == "'m' answered HTTP 400: max_tokens is too large"


def test_nobody_listens_and_the_breaker_opens():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    errors = asked(f"http://127.0.0.1:{port}", calls=7, budget=Budget())
    assert [e.kind for e in errors] == ["unreachable"] * 5 + ["open"] * 2
    assert all(e.status == 503 for e in errors) and 4 < errors[-1].retry_after <= 5


def test_the_breaker_closes_when_the_server_is_well_again():
    mock = Mock(lambda body: {"status": 500} if len(mock.asked) <= 2 else "hi")
    breaker = Breaker(2, 10.0, 0.2, time.monotonic)
    with serving(mock) as address:
        found = asked(address, calls=5, gap=0.15, breaker=breaker, budget=Budget())
    kinds = [getattr(f, "kind", "well") for f in found]
    assert kinds == ["status", "status", "open", "well", "well"] and len(mock.asked) == 4


def test_refused_requests_do_not_open_the_breaker():
    mock = Mock(lambda body: {"status": 400})
    with serving(mock) as address:
        assert {e.kind for e in asked(address, calls=20)} == {"status"}


def test_the_deadline_holds_with_retries_and_the_server_sees_the_end():
    mock = Mock(lambda body: {"wait": 30})
    with serving(mock) as address:
        start = time.monotonic()
        (error,) = asked(address, seconds=0.3, budget=saved())
        (late,) = asked(address, seconds=-1)
        assert error.kind == late.kind == "timeout" and time.monotonic() - start < 3
        _wait_for(lambda: mock.left)
    assert len(mock.asked) == 1


def test_a_slow_call_is_hedged_and_its_loser_cancelled():
    ended = []

    class Watching(Mock):
        async def _answer(self, body, said, send):
            try:
                await super()._answer(body, said, send)
            except asyncio.CancelledError:
                ended.append(time.monotonic())
                raise

    mock = Watching(lambda body: {"wait": 30} if len(mock.asked) == 1 else "hi")
    hedge = Hedge()
    for _ in range(20):
        hedge.budget.earn()
        hedge.add(0.2)
    with serving(mock) as address:
        (reply,) = asked(address, hedge=hedge)
        back = time.monotonic()
        _wait_for(lambda: ended)
    assert reply.status == 200 and len(mock.asked) == 2
    assert len(ended) == 1 and ended[0] - back < 0.5


def streamed(address, leave_after=None, **settings):
    async def work():
        upstream = Upstream("m", f"{address}/v1", SECRET, **settings)
        found = []
        events = upstream.stream(BODY, time.monotonic() + 10)
        try:
            async for data in events:
                found.append(data)
                if len(found) == leave_after:
                    break
        except UpstreamError as error:
            found.append(error)
        finally:
            await events.aclose()
            left = time.monotonic()
            await asyncio.sleep(0 if leave_after is None else 0.3)
            await upstream.aclose()
        return found, left

    return asyncio.run(work())


def test_a_stream_passes_bytes_as_they_are():
    data = [b'{"a":  1}', b'{"b": "\xc3\xa4\xff"}', b"[DONE]"]
    chunks = [b": waiting\n\ndata: " + data[0] + b"\r", b"\n\r\ndata:" + data[1][:9],
              data[1][9:] + b"\n\ndata: [DO", b"NE]\n\n"]  # fmt: skip
    mock = Mock(lambda body: {"chunks": chunks})
    with serving(mock) as address:
        found, _ = streamed(address)
    assert found == data and mock.asked[0]["stream"] is True


def test_who_leaves_a_stream_ends_the_servers_work():
    mock = Mock(lambda body: {"chunks": ["a"] * 200, "gap": 0.05})
    with serving(mock) as address:
        found, left = streamed(address, leave_after=3)
        _wait_for(lambda: mock.left)
    assert len(found) == 3 and mock.left[0] - left < 0.5


def test_a_stream_is_asked_again_before_it_begins_and_never_after():
    def says(body):
        first = {"status": 503, "headers": {"retry-after-ms": "1"}}
        return first if len(mock.asked) == 1 else {"chunks": [event({"n": 1})]}

    mock = Mock(says)
    with serving(mock) as address:
        found, _ = streamed(address, budget=saved())
    assert found == [b'{"n": 1}'] and len(mock.asked) == 2
    with _dying() as (address, calls):
        breaker = Breaker(1, 10.0, 9.0, time.monotonic)
        found, _ = streamed(address, budget=saved(), breaker=breaker)
    assert found[0] == b'{"n": 1}' and found[1].kind == "broken" and len(calls) == 1
    assert breaker.state == "open"


class _dying:
    """A server that sends one event of a stream and dies."""

    def __enter__(self):
        self.server, self.calls = socket.create_server(("127.0.0.1", 0)), []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{self.server.getsockname()[1]}", self.calls

    def _serve(self):
        piece = event({"n": 1})
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            with peer:
                self.calls.append(peer.recv(65536))
                peer.sendall(head + f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    def __exit__(self, *_):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(5)


def _wait_for(condition):
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()
