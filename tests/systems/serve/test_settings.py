"""Settings files: what is wrong is named with its place; the command serves what is right."""

import os
import signal
import socket
import subprocess
import sys
import textwrap

import httpx2
import pytest

from ensemble_lab.cli import main
from ensemble_lab.systems.serve.settings import SettingsError, read_settings
from tests.systems.serve.mock import Mock, serving

TWO = """
[models.small]
url = "{url}/v1"
model = "s"
parse = "last number"
confidence = "logprobs"
price = [0.1, 0.4]
[models.big]
url = "{url}/v1"
model = "b"
parse = "last number"
[policies.cheap]
kind = "Cascade"
order = ["small", "big"]
thresholds = [0.8]
[policies.vote]
kind = "MajorityVote"
members = ["small", "big"]
"""


def written(tmp_path, text):
    path = tmp_path / "gateway.toml"
    path.write_text(text.replace("{url}", "http://127.0.0.1:9"), "utf-8")
    return path


def test_a_file_is_read(tmp_path):
    found = read_settings(written(tmp_path, TWO))
    assert list(found.models) == ["small", "big"] and list(found.policies) == ["cheap", "vote"]
    assert found.policies["cheap"].policy.thresholds == (0.8,) and found.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('["small", "big"]\nthr', '["small", "bog"]\nthr', r"\[policies.cheap\].*'bog'.*'big'"),
        ("[models.big]", "[models.small]", "not TOML.*line"),
        ("[policies.vote]", "[policies.big]", "share a name"),
        ("127.0.0.1:9/", "127.0.0.1:8000/", r"\[models.small\].*the gateway itself"),
        ("127.0.0.1:9/", "localhost:8000/", "the gateway itself"),
        ('parse = "last number"\n[pol', "[pol", "'big', which has no parse"),
        ('confidence = "logprobs"\n', "", "'small', which has no confidence"),
        ("price =", "prize =", "'prize'; did you mean 'price'"),
        ("[0.1, 0.4]", "[0.1]", "two numbers"),
        ('"last number"', '"last numbr"', "last number"),
        ('"last number"', '{regex = "("}', "no regular expression"),
        ('"logprobs"', '"logprob"', "logprobs"),
        ('"logprobs"', "{agreement = 1}", "2 to 100"),
        ('"logprobs"', '{verifier = "judge"}', "judge"),
        ('"Cascade"', '"Cascad"', "did you mean 'Cascade'"),
        ("thresholds =", "treshold =", "treshold"),
        ("[0.8]", "[80]", "outside 0"),
        ('model = "s"', "", "the model's name on that server"),
        ('model = "s"', 'model = "s"\nkey_env = "NO_SUCH_KEY"', "not set"),
        ('model = "s"', 'model = "s"\nbreaker = {fail = 1}', "'fail'; did you mean 'failures'"),
        ('"last number"\nconfidence = "logprobs"', '"exact"\nconfidence = {agreement = 1}', "2 to"),
        ('url = "http://127.0.0.1:9/v1"\nmodel = "s"', "", "either url"),
        ("\n[models.small]", "port = 'x'\n[models.small]", "port is 'x'"),
        ("\n[models.small]", "prot = 1\n[models.small]", "'prot'; did you mean 'port'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, said):
    text = TWO.replace("{url}", "http://127.0.0.1:9")
    assert old in text
    path = written(tmp_path, text.replace(old, new, 1))
    with pytest.raises((SettingsError, ValueError, KeyError), match=f"(?s){said}"):
        found = read_settings(path)
        from ensemble_lab.systems.serve.app import app

        app(found.policies, found.models)


MAIN = "import sys; from ensemble_lab.cli import main; sys.exit(main())"


def command(*words):
    return [sys.executable, "-c", MAIN, "serve", *map(str, words)]


@pytest.mark.timeout(60)
def test_the_command_serves_and_ends(tmp_path):
    with serving(Mock(lambda body: "It is 4.")) as url:
        path = tmp_path / "gateway.toml"
        path.write_text(TWO.replace("{url}", url), "utf-8")
        process = subprocess.Popen(
            command(path, "--port", 0), stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        try:
            line = process.stdout.readline()
            address = line.split()[-1]
            assert "cheap, vote, small, big" in line and address.startswith("http://127.0.0.1:")
            asked = {"model": "vote", "messages": [{"role": "user", "content": "2 + 2?"}]}
            reply = httpx2.post(f"{address}/chat/completions", json=asked, timeout=20)
            assert reply.json()["choices"][0]["message"]["content"] == "It is 4."
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


@pytest.mark.timeout(60)
def test_a_port_in_use_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            command(written(tmp_path, TWO), "--port", port), capture_output=True, text=True
        )
    assert done.returncode == 1 and f"port {port} of 127.0.0.1 is in use" in done.stderr


BAD = {
    "hedge": ['"yes"', "2", "nan", "-0.1", "[1]", "{share = 1}"],
    "breaker": ["5", "true", "[]", "{failures = 0}", "{failures = 1.5}", "{failures = true}",
                "{window = -1}", "{window = inf}", '{cooldown = "5"}'],
    "timeout": ["0", "nan", '"5"', "1e9"],
    "price": ["3", '"12"', "[1]", "[1, -1]", "[nan, 1]", "{a = 1, b = 2}"],
    "served_as": ["3", '""'],
    "key_env": ["3", '""', "[]"],
    "parse": ["3", "[]", '""', "{regex = 3}", '{choice = ""}', "{json = 3}", "{a = 1}"],
    "confidence": ["3", "{}", '{agreement = "5"}', "{verifier = 3}",
                   '{verifier = "small"}', '{verifier = "none"}'],
    "url": ["3", '""', '"ftp://x"', '"127.0.0.1:9"', '"http://h:99999/v1"',
            '"http://127.0.0.1:9/v1/chat/completions"'],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in BAD.items() for v in values])
def test_a_bad_value_of_a_model_is_named_with_its_place(tmp_path, key, value):
    table = {"url": '"http://127.0.0.1:9/v1"', "model": '"s"', key: value}
    lines = "\n".join(f"{name} = {given}" for name, given in table.items())
    with pytest.raises(SettingsError) as error:
        read_settings(written(tmp_path, f"[models.small]\n{lines}\n"))
    said = str(error.value)
    assert said.startswith(("[models.small]: ", "the models: "))
    # The value as Python writes it, or a part of it that is wrong.
    bare = value.strip('"{}[]').split(" = ")[-1].strip('"')
    assert bare.replace("true", "True").replace("1e9", "1000000000.0") in said
    assert len(said) < 300 and "\n" not in said and "object is not" not in said


@pytest.mark.parametrize("value", ["-1", '"x"', "nan", "true", "2", "[]", "{}"])
def test_a_bad_share_of_retries_is_named(tmp_path, value):
    with pytest.raises(SettingsError, match="the file: retries is .*such as 0.1"):
        read_settings(written(tmp_path, f"retries = {value}\n{TWO}"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("kind = []", "kind is []"),
        ("file = 3", "file is 3"),
        ('file = "none.toml"', "write one with save_policy"),
        ('kind = "Cascade"', "Cascade has no order; give it"),
        ('kind = "MajorityVote"\nlabels = "ab"', "labels is 'ab'; give a list"),
        ('kind = "MajorityVote"\nlabels = 3', "labels is 3; give a list"),
        ('kind = "MajorityVote"\nmembers = "ab"', "members='ab'"),
        ('kind = "MajorityVote"\nfile = "x"', "either kind"),
    ],
)
def test_a_bad_policy_is_named_with_its_place(tmp_path, lines, said):
    text = TWO[: TWO.index("[policies.cheap]")] + f"[policies.p]\n{lines}\n"
    with pytest.raises(SettingsError) as error:
        read_settings(written(tmp_path, text))
    assert str(error.value).startswith("[policies.p]: ") and said in str(error.value)


def test_a_name_that_no_client_could_send_is_refused(tmp_path):
    for name in (" ", "a\\nb"):
        with pytest.raises(SettingsError, match="is no name of a model"):
            read_settings(written(tmp_path, TWO.replace("models.small", f'models."{name}"')))


def test_the_help_of_the_command_has_an_example_that_is_right(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["serve", "--help"])
    text = capsys.readouterr().out
    start = text.index("  [models.small]")
    example = textwrap.dedent(text[start : text.index("A client asks")])
    found = read_settings(written(tmp_path, example))
    assert not end.value.code
    assert list(found.models) == ["small", "big"] and list(found.policies) == ["cascade"]
