"""Every benchmark runs, and says what the design asks of a record."""

import json
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from benchmarks.__main__ import main as command
from benchmarks.parts import beside_engines, on_gpu
from benchmarks.parts.accounts import ForwardClock, held_to_formula
from benchmarks.parts.decoders import Run, ours, theirs
from benchmarks.parts.prompts import read_prompts, token_ids
from benchmarks.parts.random_llama import random_llama
from benchmarks.parts.run import load, main, scripts
from ensemble_lab.reports.request import RequestError
from ensemble_lab.tokens.reading import compiled
from tests.support.compiling import needs_compiler

FIELDS = {"name", "ours", "peer", "ratio", "unit", "device", "versions", "date"}
FROZEN = scripts()["speculative"].parent / "prompts/speculative.jsonl"
IN_BROWSER = "slider-browser"  # has its test in tests/browser, which needs Chromium
# Those beside other engines have theirs in test_bench_engines.py, as their peers are optional.
# These start interpreters and kernels, for half a minute; what they time has tests of its own.
NIGHTLY = ("import", "first-figure", "notebooks")
WITH_PEER = {  # optional peers
    "smollm2-vs-flashspec": "flashspec",
    "stopping-replay": "adaptive_consistency",
    "bandit-steps": "mabwiser",
}


def marks_of(record):
    peer = WITH_PEER.get(record)
    absent = peer is not None and find_spec(peer) is None
    skipped = pytest.mark.skipif(absent, reason=f"pip install {peer}")
    return [skipped, *[pytest.mark.nightly] * (record in NIGHTLY)]


EVERY = [
    pytest.param(name, record, marks=marks_of(record))
    for name, path in scripts().items()
    for record in load(path)
    if record != IN_BROWSER and record not in beside_engines.RECORDS
]
MOST_GB = 1.5  # what a small Binder gives


@pytest.fixture(autouse=True)
def no_compiler(request, monkeypatch):
    """What a GPU is to measure runs here without a compiler, which would take minutes."""
    if "gpu-" in request.node.name:
        monkeypatch.setattr(compiled, "BACKEND", "eager")


@pytest.mark.parametrize(("name", "record"), EVERY)
def test_every_record_runs(name, record, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", "eager")  # C++ takes a minute; see below
    path = tmp_path / "new folder" / "out.json"
    assert main(name, record, True, path) == 0
    (found,) = json.loads(path.read_text())
    assert found.keys() >= FIELDS
    assert found["name"] == record
    assert found["ratio"] > 0
    for told in found.get("by_notebook", {}).values():  # the first one; `make bench` runs all
        assert 0 < told["peak_gb"] < MOST_GB


@pytest.mark.nightly
@needs_compiler
def test_the_compiled_record_runs_in_c(tmp_path):
    path = tmp_path / "out.json"
    assert main("speculative", "compiled-vs-eager", True, path) == 0
    (found,) = json.loads(path.read_text())
    assert found.keys() >= FIELDS


def test_one_record_keeps_the_others_in_the_file(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text('[{"name": "decide", "ours": 1}]')
    main("answers", "threshold-grid", True, path)
    assert [r["name"] for r in json.loads(path.read_text())] == ["decide", "threshold-grid"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "null",
        "5",
        '"decide"',
        '{"name": "decide"}',
        "[1]",
        '[{"ours": 1}]',
        '[{"name": "greedy"}]',
        '[{"name": ["decide"]}]',
        b"\xff\xfe",
    ],
)
def test_a_file_that_would_lose_something_is_refused_before_anything_runs(text, tmp_path, capsys):
    path = tmp_path / "x.json"
    before = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(before)
    words = ["answers", "--only", "decide", "--quick", "--json", str(path)]
    assert command(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("benchmarks: --json '") and said.count("\n") == 1
    assert len(said) <= 300 and path.read_bytes() == before


@pytest.mark.parametrize("place", ["folder", "file/x.json"])
def test_a_file_that_cannot_be_written_is_refused(place, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    words = ["answers", "--only", "decide", "--quick", "--json", str(tmp_path / place)]
    assert command(words) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_budget_cascades_are_at_least_as_accurate_as_brute_force(tmp_path):
    path = tmp_path / "answers.json"
    main("answers", "budget-cascade-vs-numpy-brute", True, path)
    (found,) = json.loads(path.read_text())
    assert found["ours_found"]["train_accuracy"] >= found["brute_found"]["train_accuracy"]
    assert found["ours_found"]["train_cost_over_budget"] <= 1 + 1e-9


def test_unknown_names_are_offered_the_nearest(tmp_path):
    with pytest.raises(KeyError, match="did you mean 'answers'"):
        main("answer", None, True, tmp_path / "x.json")
    with pytest.raises(KeyError, match="did you mean 'decide'"):
        main("answers", "decides", True, tmp_path / "x.json")


def test_prompts_of_ones_own(tmp_path):
    prompts, path = tmp_path / "mine.jsonl", tmp_path / "x.json"
    prompts.write_text('{"prompt": "one and two and three and"}\n')
    main("speculative", "worst-kind-vs-generate", True, path, prompts)
    (found,) = json.loads(path.read_text())
    assert (found["kind"], found["prompts"]) == ("all", "mine.jsonl")
    assert found["by_kind"]["all"]["pairs"] == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "holds no prompt"),
        ("what?", "line 1 is not JSON"),
        ('["what?"]', "line 1 has neither turns nor a prompt"),
        ('{"turns": []}', "line 1 has neither turns nor a prompt"),
        ('{"prompt": " "}', "line 1 has neither turns nor a prompt"),
        ('{"turns": ["one", {"role": "user"}]}', "line 1 has neither turns nor a prompt"),
    ],
)
def test_what_holds_no_prompts_is_refused_before_anything_runs(line, said, tmp_path):
    prompts, path = tmp_path / "mine.jsonl", tmp_path / "x.json"
    prompts.write_text(line)
    with pytest.raises(RequestError, match=said):
        main("speculative", None, True, path, prompts)
    assert not path.exists()


def test_a_benchmark_without_prompts_says_so(tmp_path):
    with pytest.raises(RequestError, match="'answers' takes no --prompts"):
        main("answers", "decide", True, tmp_path / "x.json", tmp_path / "mine.jsonl")


def test_the_frozen_prompts_are_of_six_kinds_four_each():
    kinds = read_prompts(FROZEN)
    assert list(kinds) == ["chat", "translation", "summary", "question", "arithmetic", "passage"]
    assert {len(of_kind) for of_kind in kinds.values()} == {4}
    assert len({turn for of_kind in kinds.values() for (turn,) in of_kind}) == 24


def test_later_turns_follow_the_models_own_answers():
    model = random_llama(0)
    first, second = token_ids(model, ["one", "two"], 8)
    (alone,) = token_ids(model, ["one"], 8)
    assert first == alone
    assert second[: len(first)] == first
    said = model.tokenizer.decode(second)
    assert said.count("<|im_start|>user") == 2
    assert said.count("<|im_start|>assistant") == 2


def test_turns_are_one_text_for_a_model_without_chats():
    model = random_llama(0, template=None)
    first, second = token_ids(model, ["one", "two"], 8)
    assert model.tokenizer.decode(first) == "one"
    assert model.tokenizer.decode(second) == "one\n\ntwo"


def test_both_decoders_take_the_same_likeliest_tokens():
    model = random_llama(0)
    model.model.double()
    (ids,) = token_ids(model, ["the small model answers and the small model checks"], 8)
    lookup = {"prompt_lookup_num_tokens": 4}
    peers = [theirs(model)(ids, 0.0, 12, 0), theirs(model, **lookup)(ids, 0.0, 12, 0)]
    for mine in (ours(model)(ids, 0.0, 12, 0), ours(model, "lookup")(ids, 0.0, 12, 0)):
        assert mine.counted == len(mine.tokens)
        for peer in peers:
            assert peer.tokens == mine.tokens
            assert 0 <= peer.counted < len(peer.tokens)  # the first came with the prompt
            assert peer.decode < peer.total


def test_repeated_8_grams_are_counted_within_the_answer():
    assert Run(tuple(range(20)), 20, 0.0, 1.0, 1.0).repeated == 0
    assert Run(tuple(range(10)) * 2, 20, 0.0, 1.0, 1.0).repeated == 1 - 10 / 13
    assert Run((1, 2, 3), 3, 0.0, 1.0, 1.0).repeated == 0  # too short to hold one


def test_a_run_that_follows_the_formula_has_all_of_it():
    """alpha 1/2, gamma 2, c 0.1, v 1.2: rounds of 0, 0, 1 and 2 accepted of 4 + 2 examined."""
    rounds = [
        SimpleNamespace(
            proposed=(7, 7), accepted=n, tokens=(7,) * (n + 1), draft=0.2, verify=1.2, host=0.0
        )
        for n in (0, 0, 1, 2)
    ]
    plain = Run((7,) * 5, 5, 0.0, 5.0, 5.0, (None,) * 5)
    found = held_to_formula(Run((7,) * 7, 7, 0.0, 5.6, 5.6, rounds), plain, 2)
    assert found["alpha"] == 1 / 2
    assert (found["c"], found["v"]) == (pytest.approx(0.1), pytest.approx(1.2))
    assert found["formula"] == pytest.approx(1.75 / 1.4)
    assert found["share"] == pytest.approx(1)
    assert held_to_formula(Run((7,), 1, 0.0, 1.0, 1.0, rounds), plain, 3) is None


def test_the_forward_clock_counts_what_comes_after_the_prompt_and_lets_go():
    model = random_llama(0).model
    with ForwardClock(model) as clock:
        clock.spans += [(0.0, 1.0), (2.0, 2.5)]
        assert clock.host_share(Run((), 0, 1.5, 2.0, 3.5)) == 0.75
        model(model.dummy_inputs["input_ids"])
    assert len(clock.spans) == 4  # layers and head
    model(model.dummy_inputs["input_ids"])
    assert len(clock.spans) == 4


def test_the_large_pair_runs_in_small_without_a_gpu(monkeypatch):
    """Tosses decide what stays, the clocks and the formula see a run like any other."""
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    monkeypatch.setattr(on_gpu, "has_gpu", lambda: False)
    monkeypatch.setattr(on_gpu, "ROUNDS", 1)
    found = on_gpu.big_share_of_formula(True)
    assert found.keys() >= FIELDS | {"peak_over_weights_and_caches", "waits_a_round"}
    assert found["ratio"] > 0
    assert found["weights_and_caches_gb"] > 0


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8, 1.0])
def test_tosses_keep_as_many_as_they_should(alpha):
    target, draft = (random_llama(seed, layers=1) for seed in (0, 1))
    target.model.generation_config.eos_token_id = []  # no text ends early
    run = ours(target, draft, 4, prepared=partial(on_gpu.coins, alpha=alpha))
    most = 200 if 0 < alpha < 1 else 50  # nothing is left to chance at either end
    runs = [run([5, 6, 7], 0.0, most, seed) for seed in range(4)]
    rounds = [r for one in runs for r in one.rounds if len(r.proposed) == 4]
    examined = sum(min(r.accepted + 1, 4) for r in rounds)
    rate = sum(r.accepted for r in rounds) / examined
    assert rate == pytest.approx(alpha, abs=4 * (alpha * (1 - alpha) / examined) ** 0.5 + 1e-9)
    assert all(r.tokens[: r.accepted] == r.proposed[: r.accepted] for r in rounds)


def test_the_compiled_record_for_a_gpu_runs_without_one(monkeypatch):
    monkeypatch.setattr(on_gpu, "has_gpu", lambda: True)
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    records = load(scripts()["speculative"])
    assert records.keys() >= {"compiled-vs-assisted", "big-share-of-formula"}
    found = records["compiled-vs-assisted"](True)
    assert found["ratio"] > 0 and found["ratio_to_our_compiled_plain"] > 0


def test_the_plain_loop_beside_two_models_writes_their_text():
    from benchmarks.parts.together import in_turn
    from ensemble_lab.tokens import Averaging, CombinedModel

    pair = random_llama(0), random_llama(1, layers=1)
    for one in pair:
        one.model.double()
    loop, read = in_turn(pair), ours(CombinedModel(pair, Averaging()))
    for ids in ([5], list(range(1, 30))):
        assert loop(ids, 0.0, 12, 0).tokens == read(ids, 0.0, 12, 0).tokens
