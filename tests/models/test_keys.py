"""Keys and passwords: sent where they belong, never to others, and shown nowhere."""

import base64
import copy
import json
import logging
import pickle
import traceback
import urllib.parse
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.models import Endpoint, ModelError, load
from ensemble_lab.models.endpoints.address import Address, is_loopback, without_secrets
from ensemble_lab.models.endpoints.keys import Secrets
from ensemble_lab.models.errors import EndpointError, EndpointStatus
from tests.support.raw_server import completion, http, raw_server

KEY = "sk-proj-not-A-real_key/0123+456789"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in (*PROXIES, "NO_PROXY", "no_proxy", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def everything(error: BaseException) -> str:
    """All that a notebook or a log may print of an error, its chain and its attributes."""
    told, seen = "".join(traceback.format_exception(error)), error
    while seen is not None:
        told += f"{seen} {seen!r} {vars(seen)} {getattr(seen, '__notes__', '')}"
        request = getattr(seen, "_request", None)
        told += str(request and request.headers.raw)
        seen = seen.__cause__ or seen.__context__
    return told


def authorization(asked: bytes) -> list[str]:
    lines = asked.decode().split("\r\n\r\n")[0].split("\r\n")
    return [line.partition(": ")[2] for line in lines if line.lower().startswith("authorization:")]


FORMS = {
    "plain": KEY,
    "header": f"b'Bearer {KEY}'",
    "capitals": KEY.upper(),
    "percent": urllib.parse.quote(KEY, safe=""),
    "every percent": "".join(f"%{byte:02x}" for byte in KEY.encode()),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of the header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "base64 of basic": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "base64 for addresses": base64.urlsafe_b64encode(f"u:{KEY}:x".encode()).decode(),
    "hexadecimal": KEY.encode().hex(),
    "in quotes": json.dumps({"a": json.dumps(KEY)}),
    "begin": f"wrong key {KEY[:14]}**********",
    "end": f"wrong key ****{KEY[-12:]}",
    "middle": f"key ({KEY[7:19]}...)",
    "twice": KEY + KEY,
    "with ends of line": f"\r\n{KEY}\r\n",
    "far": " " * 200 + KEY,
    "cut by the excerpt": "x" * 60 + " " + KEY,
}


def shows(text: str, secret: str = KEY, run: int = 9) -> bool:
    """Whether `run` letters in a row of a secret or of its usual forms can be read."""
    raw = secret.encode()
    forms = [secret, urllib.parse.quote(secret, safe=""), raw.hex()]
    forms += ["".join(f"%{byte:02x}" for byte in raw)]
    forms += [base64.b64encode(b"\0" * n + raw).decode()[4:-4] for n in range(3)]
    text = text.lower()
    return any(form[i : i + run].lower() in text for form in forms for i in range(len(form) - run))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("status", ["401 X", "500 X", "200 OK"])
def test_what_a_server_repeats_is_not_shown(key, form, status):
    for body in (form.encode(), {"error": {"message": form}}, {"choices": [form]}):
        with raw_server(http(body, status)) as (url, asked):
            model = Endpoint(url, "m")
            with pytest.raises(EndpointError) as caught:
                model("q")
        assert authorization(asked[0]) == [f"Bearer {KEY}"]
        assert not shows(everything(caught.value))
        assert not shows(repr(model) + repr(vars(model)) + str(model.__dict__))


def test_a_status_line_and_a_location_with_the_key(key):
    for reply in (
        f"{KEY}\r\n\r\n".encode(),
        f"HTTP/1.1 {KEY}\r\n\r\n".encode(),
        f"HTTP/1.1 500 {KEY}\r\nContent-Length: 0\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {KEY}\r\nContent-Length: 0\r\n\r\n".encode(),
        http(b"", "307 X", Location=f"https://other/{KEY}?k={KEY}"),
    ):
        with raw_server(reply) as (url, _), pytest.raises(EndpointError) as caught:
            Endpoint(url, "m", timeout=5)("q")
        assert not shows(everything(caught.value))


def test_a_reply_with_the_key_in_it_is_kept_without(key, tmp_path):
    with raw_server(http(completion(f"your key is {KEY}."))) as (url, _):
        model = Endpoint(url, "m")
        lab.record({"m": model}, ["q"], tmp_path / "r.jsonl", progress=False)
    assert KEY not in (tmp_path / "r.jsonl").read_text()
    assert "your key is [key]." in (tmp_path / "r.jsonl").read_text()


@pytest.mark.parametrize("short", ["EMPTY", "x", "none", "secret"])
def test_a_short_key_changes_no_answer(monkeypatch, short):
    monkeypatch.setenv("OPENAI_API_KEY", short)
    with raw_server(http(completion(f"the box is {short}"))) as (url, asked):
        assert Endpoint(url, "m")("q").answer == f"the box is {short}"
    assert authorization(asked[0]) == [f"Bearer {short}"]


def test_a_short_key_is_not_shown_either():
    with raw_server(http(b"no such key: hunter2", "401 X")) as (url, _):
        with pytest.raises(EndpointStatus, match=r"no such key: \[key\]"):
            Endpoint(url, "m", key="hunter2")("q")


@pytest.mark.parametrize(
    "around", ["{}\n", " {} ", "\r\n{}\r\n", "\t{}", "\ufeff{}".strip("\ufeff")]
)
def test_what_surrounds_a_key_is_left_out(monkeypatch, around):
    monkeypatch.setenv("OPENAI_API_KEY", around.format(KEY))
    with raw_server(http(completion())) as (url, asked):
        Endpoint(url, "m")("q")
        Endpoint(url, "m", key=around.format("other-key-of-mine"))("q")
    assert authorization(asked[0]) == [f"Bearer {KEY}"]
    assert authorization(asked[1]) == ["Bearer other-key-of-mine"]


@pytest.mark.parametrize(
    "bad", ["\x00", "\x1b[31m", "é", "\u200b", "\n", "\r\nX-Other: 1", " ", "“"]
)
def test_a_key_that_no_header_holds_is_refused_unseen(monkeypatch, bad):
    wrong = f"{KEY[:16]}{bad}{KEY[16:]}"
    if "\0" not in bad:
        monkeypatch.setenv("OPENAI_API_KEY", wrong)
        with raw_server(http(completion())) as (url, asked):
            with pytest.raises(ModelError, match="OPENAI_API_KEY holds a space") as caught:
                Endpoint(url, "m")("q")
        assert not asked and not shows(everything(caught.value))
    with pytest.raises(ModelError, match="key= holds a space") as caught:
        Endpoint("https://h/v1", "m", key=wrong)
    assert not shows(str(caught.value) + repr(caught.value))


@pytest.mark.parametrize(("given", "words"), [(b"k" * 20, "bytes"), (7, "int"), ("", "empty")])
def test_a_key_that_is_none(given, words):
    with pytest.raises(ValueError, match=f"key= is {words}") as caught:
        Endpoint("https://h/v1", "m", key=given)
    assert "kkk" not in str(caught.value)


def test_no_key_where_there_is_none(monkeypatch):
    for empty in (None, "", " \n"):
        if empty is not None:
            monkeypatch.setenv("OPENAI_API_KEY", empty)
        with raw_server(http(completion())) as (url, asked):
            Endpoint(url, "m")("q")
        assert authorization(asked[0]) == []


def test_logs_hold_no_key(key, caplog):
    caplog.set_level(logging.DEBUG)
    with raw_server(http(completion())) as (url, asked):
        Endpoint(url.replace("//", "//me:PASSWORD@") + "?api-key=SECRETQUERY", "m")("q")
        Endpoint(url, "m")("q")
    assert asked[1]
    for secret in (KEY, "PASSWORD", "SECRETQUERY", base64.b64encode(b"me:PASSWORD").decode()):
        assert not shows(caplog.text, secret, 7)


# Addresses


def test_name_password_and_query():
    with raw_server(http(completion())) as (url, asked):
        model = load(f"openai:{url.replace('//', '//me:PASS%2FWORD@')}/?api-key=SECRET&v=1#m")
        assert model("q").answer == "hi"
    assert asked[0].startswith(b"POST /v1/chat/completions?api-key=SECRET&v=1 HTTP/1.1\r\n")
    coded = base64.b64encode(b"me:PASS/WORD").decode()
    assert authorization(asked[0]) == [f"Basic {coded}"]
    shown = repr(model) + str(model) + repr(vars(model)) + model.url
    for secret in ("PASS", "SECRET", coded):
        assert secret not in shown
    assert repr(model) == f"Endpoint('{url}', 'm')"


def test_errors_hold_no_password_and_no_query():
    for reply in (
        http(b"cannot POST /v1/chat/completions?api-key=SECRETQUERY as me:PASSWORD", "404 X"),
        http(b"", "307 X", Location="http://me:PASSWORD@h/?api-key=SECRETQUERY"),
        http(b"nonsense SECRETQUERY PASSWORD"),
        b"",
        b"PASSWORD SECRETQUERY\r\n\r\n",
    ):
        with raw_server(reply) as (url, _):
            address = url.replace("//", "//me:PASSWORD@") + "?api-key=SECRETQUERY"
            with pytest.raises(EndpointError) as caught:
                Endpoint(address, "m", timeout=5)("q")
        told = everything(caught.value)
        assert not shows(str(caught.value), "PASSWORD", 7)
        assert "SECRETQUERY" not in told.replace(f'"{address}"', "")


@pytest.mark.parametrize(
    "address",
    [
        "http:/me:PASSWORD@h/v1",
        "me:PASSWORD@h/v1?k=SECRET",
        "http://me:PASSWORD@",
        "http://me:PASSWORD@h:port/v1?k=SECRET",
        "http://me:PASS/PASSWORD@h/v1",
        "http://me:PASS?PASSWORD@h",
        "http://me:PASSWORD#PASSWORD@h/v1",
        "http://me:PASSWORD#@h",
        "http://me:PASSWORD@[::1/v1",
        "ftp://me:PASSWORD@h/v1?k=SECRET",
        "http://me:PASSWORD@h\x00/v1",
        "http://me:PASSWORD@h /v1?SECRET",
        "http://me:PASSWORD@h:99999/v1",
        "http://h\\@me:PASSWORD@other/v1",
        "http://me:PASSWORD@" + "h" * 300 + "/v1",
    ],
)
def test_an_address_that_is_none_is_shown_without_secrets(address):
    for call in (
        lambda: Endpoint(address, "m"),
        lambda: load(f"openai:{address}#m"),
        lambda: load(f"openai:{address}"),
        lambda: load(f"openai:{address}#m", device="cpu"),
    ):
        with pytest.raises(ModelError) as caught:
            call()
        text = str(caught.value)
        assert "PASSWORD" not in text and "SECRET" not in text and len(text) <= 300
        assert "PASSWORD" not in "".join(traceback.format_exception_only(caught.value))
        assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_an_address_without_openai_in_front_is_shown_without_secrets():
    with pytest.raises(ModelError, match="'https://h/v1' is an address; write 'openai:'") as caught:
        load("https://me:PASSWORD@h/v1?k=SECRET#m")
    assert "PASSWORD" not in str(caught.value) and "SECRET" not in str(caught.value)


def test_without_secrets():
    assert without_secrets("https://a:b@h:1/v1?c=d") == "https://h:1/v1"
    assert without_secrets("https://h:1/v1") == "https://h:1/v1"
    assert without_secrets(None) is None


def test_two_ways_to_say_who_one_is():
    with pytest.raises(ModelError, match="give one"):
        Endpoint("https://me:PASSWORD@h/v1", "m", key=KEY)


def test_the_key_of_the_environment_does_not_go_with_a_password(key):
    with raw_server(http(completion())) as (url, asked):
        Endpoint(url.replace("//", "//me:PASSWORD@"), "m")("q")
    assert KEY.encode() not in asked[0]


# Who else hears it

HERE = """localhost LOCALHOST LocalHost. localhost. a.localhost 127.0.0.1 127.0.0.2 127.255.255.254
127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 0x7f.1 017700000001 0.0.0.0 0 ::1 [::1]
0:0:0:0:0:0:0:1 ::ffff:127.0.0.1 [::FFFF:7f00:1] ::127.0.0.1 :: [::] ::ffff:0.0.0.0 ::1%lo
127.0.0.1. １２７.0.0.1 127。0。0。1 ⓛocalhost""".split()
THERE = """example.com 127.0.0.1.example.com localhost.example.com notlocalhost 10.0.0.1 192.168.0.1
128.0.0.1 126.255.255.255 1.127.0.0.1 ::2 ::ffff:10.0.0.1 fe80::1 2130706432.example 0x80000000
localhost1 127 172.17.0.1 169.254.169.254""".split()


@pytest.mark.parametrize("host", HERE)
def test_this_machine_in_every_spelling(monkeypatch, host):
    assert is_loopback(host)
    for name in PROXIES:
        monkeypatch.setenv(name, "http://proxy:1")
    bare = host.strip("[]")
    address = Address.of(f"http://{f'[{bare}]' if ':' in bare else bare}:8000/v1")
    assert address.proxy() is None and address.safe


@pytest.mark.parametrize("host", THERE)
def test_other_machines(monkeypatch, host):
    assert not is_loopback(host)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    monkeypatch.setenv("https_proxy", "proxy:2")
    bare, host = host, f"[{host}]" if ":" in host else host
    assert Address.of(f"http://{host}/v1").proxy() == "http://proxy:1"
    assert Address.of(f"https://{host}/v1").proxy() == "http://proxy:2"
    assert not Address.of(f"http://{host}/v1").safe and Address.of(f"https://{host}/v1").safe
    monkeypatch.setenv("no_proxy", bare)
    assert Address.of(f"http://{host}/v1").proxy() is None


@pytest.mark.parametrize("host", ["10.1.2.3", "llm.corp.example", "[fd00::7]"])
def test_no_proxy_may_name_networks_and_domains(monkeypatch, host):
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    assert Address.of(f"http://{host}/v1").proxy() == "http://proxy:1"
    monkeypatch.setenv("no_proxy", "192.168.0.0/16, 10.0.0.0/8,*.corp.example fd00::/8,nonsense/x")
    assert Address.of(f"http://{host}/v1").proxy() is None
    assert Address.of("http://11.1.2.3/v1").proxy() == "http://proxy:1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.1", "0.0.0.0", "2130706433"])
def test_a_proxy_hears_nothing_of_this_machine(monkeypatch, key, host):
    with raw_server(http(completion("proxy"))) as (proxy, heard):
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.removesuffix("/v1"))
        with pytest.raises(EndpointError):
            Endpoint(f"http://{host}:9/v1", "m", timeout=2)("prompt")
        assert not heard


def test_over_plain_http_the_environments_key_stays_here(monkeypatch, key):
    """A proxy on loopback plays the other machine."""
    with raw_server(http(b"who are you?", "401 X")) as (proxy, heard):
        monkeypatch.setenv("HTTP_PROXY", proxy.removesuffix("/v1"))
        model = Endpoint("http://model.example/v1", "m", timeout=10)
        with pytest.warns(UserWarning, match="OPENAI_API_KEY is not sent to .* use https, or give"):
            with pytest.raises(EndpointStatus, match="OPENAI_API_KEY is not sent: over plain") as e:
                model("q")
        assert len(str(e.value)) <= 300
        with warnings.catch_warnings():  # said once
            warnings.simplefilter("error")
            with pytest.raises(EndpointStatus):
                model("q")
            with pytest.raises(EndpointStatus):
                Endpoint("http://model.example/v1", "m", key="asked-for-it")("q")
    assert [authorization(one) for one in heard] == [[], [], ["Bearer asked-for-it"]]
    assert KEY.encode() not in b"".join(heard)


@pytest.mark.parametrize("mark", ["/", "#", "?"])
def test_a_broken_proxy_is_named_without_its_password(monkeypatch, mark):
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:PASSWORD{mark}WORD@127.0.0.1:9")
    with pytest.raises(EndpointError, match="the proxy in HTTPS_PROXY") as caught:
        Endpoint("https://example.invalid/v1", "m", timeout=5)("q")
    assert "WORD" not in everything(caught.value).partition("Error: ")[2]
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("name", ["m?api-key=SECRET", "m&k=SECRET", "api-key=SECRET", "m?SECRET"])
def test_a_query_behind_the_name_is_refused_and_not_shown(name):
    for call in (lambda: load(f"openai:http://h/v1#{name}"), lambda: Endpoint("http://h/v1", name)):
        with pytest.raises(ModelError, match="a query is written before the #") as caught:
            call()
        assert "SECRET" not in str(caught.value)


# Files and copies


def test_a_pickle_holds_no_key(key):
    with raw_server(http(completion())) as (url, asked):
        model = Endpoint(url, "m", price=(1, 2), max_tokens=7)
        model("q")
        data = pickle.dumps(model)
        again = pickle.loads(data)
        assert again("q").answer == "hi"
    assert KEY.encode() not in data
    assert authorization(asked[1]) == [f"Bearer {KEY}"]  # read again, where it is needed
    assert (again.url, again.name, again.price) == (url, "m", (1, 2))


@pytest.mark.parametrize(
    ("address", "about"),
    [
        ("http://127.0.0.1:9/v1", {"key": KEY}),
        (f"http://me:{KEY[:12]}@127.0.0.1:9/v1", {}),
        (f"http://127.0.0.1:9/v1?k={KEY[:12]}", {}),
    ],
)
def test_a_pickle_without_its_secret_asks_no_server(monkeypatch, address, about):
    """The key in the environment is that of another service."""
    monkeypatch.setenv("OPENAI_API_KEY", "the-key-of-another-service")
    data = pickle.dumps(Endpoint(address, "m", **about))
    assert KEY[:12].encode() not in data
    for again in (pickle.loads(data), copy.copy(pickle.loads(data))):
        with pytest.raises(ModelError, match="comes from a pickle, which contains no key"):
            again("q")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_in_memory_goes_on(copied):
    with raw_server(http(completion())) as (url, asked):
        model = copied(Endpoint(url + "?k=SECRET", "m", key=KEY, price=[1, 2]))
        model("q")
    assert authorization(asked[0]) == [f"Bearer {KEY}"] and b"?k=SECRET" in asked[0]
    assert KEY not in repr(vars(model)) and "SECRET" not in repr(vars(model))


def test_a_failure_is_recorded_by_its_kind_only(tmp_path):
    def leaky(item):
        raise RuntimeError(f"Incorrect API key provided: {KEY}")

    with pytest.raises(RuntimeError):
        lab.record({"m": leaky}, ["q"], tmp_path / "r.jsonl", progress=False)
    assert not shows((tmp_path / "r.jsonl").read_text())
    assert '"failed": "RuntimeError"' in (tmp_path / "r.jsonl").read_text()


LETTERS = st.characters(min_codepoint=33, max_codepoint=126)


@settings(max_examples=60, deadline=None)
@given(st.text(LETTERS, min_size=12, max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_no_long_part_of_any_key_stays(secret, before, after):
    secrets = Secrets([secret])
    for form in (secret, secret[2:], secret[:-2], urllib.parse.quote(secret, safe="")):
        assert secret[2:-2] not in secrets.out_of(before + form + after)
    coded = base64.b64encode(f"{before}{secret}{after}".encode()).decode()
    kept = secrets.out_of(coded)
    inner = [base64.b64encode(b"\0" * n + secret.encode()).decode()[4:-4] for n in range(3)]
    assert not any(form in kept for form in inner)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_other_texts_stay_as_they_are(text):
    assert Secrets([KEY, None, "", "a"]).out_of(text) == text
