"""The shipped pair `tiny`: it is what about.json says, loads offline and decodes losslessly."""

import hashlib
import json
import math
from pathlib import Path

import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.decode import decode
from recipes import measure_tiny, train_tiny
from tests.support.toy_lm import batch_by_generate

DATA = Path(__file__).parents[2] / "data"
TINY = DATA / "models" / "tiny"
ABOUT = json.loads((TINY / "about.json").read_text())
FORMS = [
    "Write a short story about {}.",
    "Write a poem about {}.",
    "Write a Python function that {}.",
    "Write an email to a friend about {}.",
    "What is the difference between {}?",
]
TOPICS = [
    ["a lighthouse", "two snails", "the last tram", "an old clock", "a paper boat"],
    ["fog", "a yellow door", "bread", "the sound of keys", "a river in May"],
    ["adds two matrices", "finds primes", "reads a table", "draws a square", "rounds a price"],
    ["a borrowed ladder", "chess", "a flat tyre", "the new neighbours", "plums"],
    [
        "tea and coffee",
        "a lake and a pond",
        "speed and force",
        "law and rule",
        "salt and sugar",
    ],
]
ASKED = [form.format(topic) for form, topics in zip(FORMS, TOPICS) for topic in topics]
SUMS = [
    f"Anna has {a} apples and buys {b} more. How many apples has she now?"
    for a, b in zip(range(3, 28), range(40, 15, -1))
]
PROMPTS = [f"{text}\n" for text in ASKED + SUMS]
NEW = 48


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small only lose by being shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pair():
    return [lab.load(name, "cpu", "float64") for name in ("tiny", "tiny-draft")]


@pytest.fixture(scope="module")
def reference(pair):
    """What `generate` of transformers writes greedily to every prompt."""
    prompts = [pair[0].encode(prompt)["input_ids"][0].tolist() for prompt in PROMPTS]
    return [*map(tuple, batch_by_generate(pair[0], prompts, NEW))]


# What ships


def test_files_are_those_of_about_json_and_no_pickles():
    found = {p.relative_to(TINY).as_posix() for p in TINY.rglob("*") if p.is_file()}
    assert found == {"about.json", *ABOUT["files"]}
    assert {Path(name).suffix for name in found} == {".json", ".safetensors"}
    for name, file in ABOUT["files"].items():
        content = (TINY / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == tuple(file.values()), name


def test_weights_are_small():
    assert sum(path.stat().st_size for path in TINY.rglob("*.safetensors")) < 3_000_000


def test_both_load_without_a_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"asked for the network: {args}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    target, draft = lab.load("tiny", dtype="float32"), lab.load("tiny-draft", dtype="float32")
    sizes = {"target": target.model.num_parameters(), "draft": draft.model.num_parameters()}
    assert sizes == ABOUT["parameters"]
    assert 1_000_000 <= sizes["target"] <= 4_000_000
    assert sizes["draft"] <= sizes["target"] / 10
    assert target.weights.startswith("tiny, trained by this project")
    assert target.tokenizer.get_vocab() == draft.tokenizer.get_vocab()
    assert target("Write a poem about rain.\n").text


def test_an_installation_without_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("ensemble_lab.catalogue.data_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match=r"the model 'tiny-draft' has no folder .* reinstall"):
        lab.load("tiny-draft")


def test_the_tokenizer_gives_every_text_back(pair):
    tokenizer = pair[0].tokenizer
    for text in ("Zwölf Boxkämpfer  jagen\n\tViktor.", "日本 🙂", "def f(x):\n    return x\n"):
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_readme_has_the_figures_of_about_json():
    readme = (DATA / "README.md").read_text()
    assert measure_tiny.written(readme, ABOUT) == readme
    assert measure_tiny.table(ABOUT) in readme


# What it does


def test_its_distribution_is_better_than_chance_on_a_text_of_its_kind(pair):
    target, draft = pair
    ids = target.encode("Write a poem about the sea.\nThe sea is a beautiful place.")["input_ids"]
    surprise = [m.model(ids, labels=ids).loss.item() for m in (target, draft)]
    assert surprise[0] < surprise[1] < math.log(2048)


@pytest.mark.slow
def test_greedy_text_is_generates_own(pair, reference):
    target, draft = pair
    made = [decode(target, prompt, draft, max_new_tokens=NEW) for prompt in PROMPTS]
    assert [one.tokens for one in made] == reference
    assert len(set(reference)) > 20  # so small a target answers alike to like prompts


def test_the_pair_accepts_40_to_85_percent(pair, reference):
    target, draft = pair
    made = decode(target, PROMPTS, draft, gamma=4, max_new_tokens=NEW)  # one ragged batch
    assert [one.tokens for one in made] == reference
    assert 0.40 <= measure_tiny.acceptance(made) <= 0.85
    assert 0.40 <= ABOUT["greedy_acceptance"] <= 0.85


# How it was made


def test_held_out_prompts_are_not_trained_on():
    texts = [train_tiny.Text("chat", f"p{i % 60}", f"a{i}", True) for i in range(180)]
    train, held = train_tiny.split(texts)
    assert {text.prompt for text in train}.isdisjoint(text.prompt for text in held)
    assert (len(train), len(held)) == (171, 9)  # three prompts of sixty, three answers each
    assert train_tiny.split(texts[::-1])[1] == held[::-1]  # the order of the file is no matter


def test_only_answers_are_learned_and_only_whole_ones_end():
    tokenizer = train_tiny.tokenizer_of(["the sea", "a ship"])
    whole = train_tiny.Text("chat", "the ship", "a sea", True)
    cut = train_tiny.Text("chat", "the ship", "a sea", False)
    (tokens, learned), (shorter, _) = train_tiny.encoded(tokenizer, [whole, cut])
    assert tokenizer.decode(tokens[learned == 0]) == "<s>the ship"
    assert tokenizer.decode(tokens[learned == 1]) == "\na sea</s>"
    assert tokens[:-1].tolist() == shorter.tolist() == tokenizer("the ship\na sea")["input_ids"]


def test_distinct_and_copied_by_hand():
    # n-grams of 1 2 1 2: (1 2), (2 1), (1 2); of 3: none of length 2.
    assert measure_tiny.distinct([[1, 2, 1, 2], [3]], 1) == 3 / 5
    assert measure_tiny.distinct([[1, 2, 1, 2], [3]], 2) == 2 / 3
    # Two 8-grams, 0..7 and 1..8; the corpus has 1..8 across no border of its texts.
    assert measure_tiny.copied([range(9)], [[1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 2]]) == 1 / 2
    assert measure_tiny.copied([range(9)], [range(4), range(4, 9)]) == 0
