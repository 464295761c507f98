"""The shipped tables: what the catalogue says of them, and the figures known from their sources."""

import hashlib
import json
import shutil
import warnings

import numpy as np
import pytest

from ensemble_lab import catalogue
from ensemble_lab.catalogue import data_folder, describe, load_outcomes, outcomes_catalogue
from ensemble_lab.core.errors import UnknownName
from ensemble_lab.core.states import UNPARSED

NAMES = (
    "gsm8k-44-llms mmlu-pro-29-llms gsm8k-openai-2021 imdb-services waimai-services"
    " shop-services rafdb-services expw-services audiomnist-services fluent-services"
    " imagenet-colour imagenet-contrast imagenet-lowpass imagenet-rotation"
    " routellm-mmlu routellm-gsm8k game-of-24 gpt-drift-primes"
).split()


def accuracy(name):
    table = load_outcomes(name)
    return dict(zip(table.models, 100 * table.accuracy(), strict=True))


def test_the_catalogue_lists_every_table_once():
    frame = outcomes_catalogue()
    assert sorted(frame.index) == sorted(NAMES)
    assert frame["title"].is_unique and frame["title"].str.len().max() <= 50
    files = {path.stem for path in (data_folder() / "outcomes").iterdir()}
    assert files == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_entry_agrees_with_its_table(name):
    entry, table = describe(name), load_outcomes(name)
    content = (data_folder() / "outcomes" / f"{name}.parquet").read_bytes()
    assert entry["name"] == name
    assert entry["items"] == len(table)
    assert entry["models"] == list(table.models)
    assert entry["known"] == list(table.known)
    assert entry["bytes"] == len(content)
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_entry_says_where_it_comes_from(name):
    entry = describe(name)
    assert entry["source"].startswith("https://github.com/")
    assert entry["licence"] in ("Apache-2.0", "MIT", "CC-BY-4.0")
    assert entry["recorded"] and entry["attribution"] and entry["caveats"]
    assert entry["commit"] or any("commit" in caveat for caveat in entry["caveats"])
    assert all(caveat.endswith(".") for caveat in entry["caveats"])
    assert ("cost" in entry["known"]) == bool(entry["prices"])


@pytest.mark.parametrize("name", NAMES)
def test_tables_hold_numbers_and_short_labels_only(name):
    table = load_outcomes(name)
    texts = [*table.items, *table.models, *table.labels]
    texts += [] if table.group is None else [*table.group]
    for text in texts:
        if isinstance(text, str):
            assert len(text) <= 60 and text.count(" ") <= 2, text
    for values in table.features.values():
        assert values.dtype.kind in "if"


def test_all_tables_together_stay_small():
    assert sum(describe(name)["bytes"] for name in NAMES) < 8_000_000


# -- absent, unparsed, wrong ------------------------------------------------------------------


def test_gemini_flash_is_absent_not_wrong():
    table = load_outcomes("gsm8k-44-llms")
    j = table.models.index("gemini-1.5-flash-exp-0827")
    assert (~table.absent[:, j]).sum() == 681
    assert accuracy("gsm8k-44-llms")[table.models[j]] == pytest.approx(95.0, abs=0.05)
    assert table.absent.sum() == 1319 - 681
    assert table.unparsed.sum() == 67 and not table.correct[table.unparsed].any()


def test_gsm8k_grades_are_answers_equal_to_the_truth():
    table = load_outcomes("gsm8k-44-llms")
    assert len({float(label) for label in table.labels}) == len(table.labels)
    right = table.answer == table.truth[:, None]
    assert np.array_equal(right[~table.absent], table.correct[~table.absent] == 1)


def test_mmlu_pro_absences_by_model():
    table = load_outcomes("mmlu-pro-29-llms")
    gone = dict(zip(table.models, table.absent.sum(axis=0).tolist(), strict=True))
    assert {name: count for name, count in gone.items() if count} == {
        "DeepSeek-Coder-V2": 1680, "gemini-1.5-flash-002": 20, "gemini-1.5-pro-002": 12,
    }  # fmt: skip
    assert table.unparsed.sum() == 34_300 - 1712
    assert np.isnan(table.correct[table.absent]).all()


# -- figures of the sources -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model", "per_cent"),
    [
        ("audiomnist-services", "DeepSpeech", 92.2),
        ("audiomnist-services", "Microsoft", 98.6),
        ("imdb-services", "Google", 86.5),
        ("imdb-services", "Baidu", 51.6),
        ("waimai-services", "Baidu", 89.0),
        ("rafdb-services", "Microsoft", 71.7),
        ("expw-services", "CNN", 56.4),
        ("fluent-services", "Microsoft", 97.5),
        ("shop-services", "Baidu", 92.2),
        ("imagenet-rotation", "ResNet-152", 73.4),
        ("routellm-mmlu", "gpt-4-1106", 80.6),
        ("routellm-mmlu", "mixtral-8x7b", 68.1),
        ("routellm-gsm8k", "gpt-4-1106", 85.7),
        ("gpt-drift-primes", "gpt-4-0314", 84.0),
        ("gpt-drift-primes", "gpt-4-0613", 50.2),
        ("gpt-drift-primes", "gpt-3.5-turbo-0301", 51.8),
        ("gpt-drift-primes", "gpt-3.5-turbo-0613", 68.0),
        ("gsm8k-openai-2021", "175B verification", 56.3),
        ("mmlu-pro-29-llms", "gemini-1.5-pro-002", 70.3),
    ],
)
def test_accuracy_as_published(name, model, per_cent):
    assert accuracy(name)[model] == pytest.approx(per_cent, abs=0.06)


def test_the_oracle_of_mmlu_pro_is_below_chance():
    table = load_outcomes("mmlu-pro-29-llms")
    assert 100 * table.oracle() == pytest.approx(94.7, abs=0.05)
    assert 100 * table.chance_oracle() == pytest.approx(95.8, abs=0.1)


def test_plurality_of_the_ten_weakest_on_gsm8k():
    table = load_outcomes("gsm8k-44-llms")
    full = [m for m, c in zip(table.models, table.coverage(), strict=True) if c == 1]
    table = table.select(models=full)
    weakest = table.select(models=[table.models[j] for j in np.argsort(table.accuracy())[:10]])
    assert 100 * weakest.accuracy().max() == pytest.approx(81.7, abs=0.06)
    k = len(weakest.labels)
    said = np.where(weakest.answer < 0, k, weakest.answer)
    votes = 1 + 0.01 * 2.0 ** np.arange(-9, 1)  # equal, and the most accurate breaks ties
    count = np.stack([np.bincount(row, votes, minlength=k + 1)[:k] for row in said])
    assert 100 * (count.argmax(axis=1) == weakest.truth).mean() == pytest.approx(92.6, abs=0.05)
    assert 100 * (weakest.correct.sum(axis=1) > 5).mean() == pytest.approx(78.9, abs=0.05)


def test_service_prices_are_real_and_constant():
    table = load_outcomes("audiomnist-services")
    assert not table.cost_is_estimated
    per_10_000 = dict(zip(table.models, table.cost[0] * 10_000, strict=True))
    assert per_10_000 == pytest.approx(
        {"Google": 60, "Microsoft": 41, "IBM": 25, "DeepSpeech": 0.02}
    )
    assert np.ptp(table.cost, axis=0).max() == 0


def test_confidences_are_kept_to_the_digit():
    confidence = load_outcomes("imdb-services").confidence[:, 0]
    assert set(np.unique(confidence)) == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}


def test_game_of_24_costs_add_up_to_the_running_sums():
    table = load_outcomes("game-of-24")
    groups = np.array(table.model_group)
    dollars = {g: table.cost[:, groups == g].sum() for g in dict.fromkeys(groups)}
    # Chain of thought: its counter restarted after 14.87664, and 32.17008 came after that.
    expected = {"gpt-4 direct": 13.80048, "gpt-4 cot": 47.04672, "gpt-4 tot": 74.50962}
    assert dollars == pytest.approx(expected, abs=1e-3)
    assert [np.sum(groups == g) for g in expected] == [100, 100, 5]
    assert table.correct[:, groups == "gpt-4 tot"].mean() == pytest.approx(0.238)
    assert table.cost_is_estimated


def test_the_truth_about_primes():
    table = load_outcomes("gpt-drift-primes")
    numbers = table.features["number"]
    prime = [all(n % k for k in range(2, int(n**0.5) + 1)) for n in numbers.tolist()]
    assert np.array_equal(np.array(table.labels)[table.truth] == "yes", prime)
    assert (table.answer == UNPARSED).sum() == 242


@pytest.mark.parametrize(
    "name", ["gsm8k-44-llms", "mmlu-pro-29-llms", "routellm-mmlu", "routellm-gsm8k"]
)
def test_embeddings_are_small_integers_that_say_something(name):
    features = load_outcomes(name).features
    vectors = np.stack([features[f"embedding_{j:02d}"] for j in range(16)], axis=1)
    assert vectors.dtype == np.int8 and np.abs(vectors.astype(int)).max() == 127
    spread = vectors.std(axis=0)
    assert (np.diff(spread) <= 0.1).all() and spread[-1] > 1  # principal components, in order


def test_embeddings_know_the_subject():
    from sklearn.linear_model import LogisticRegression

    table = load_outcomes("mmlu-pro-29-llms")
    vectors = np.stack([table.features[f"embedding_{j:02d}"] for j in range(16)], axis=1) / 127
    half = len(table) // 2
    rows = np.random.default_rng(0).permutation(len(table))
    model = LogisticRegression(C=10, max_iter=200)
    model.fit(vectors[rows[:half]], table.group[rows[:half]])
    assert model.score(vectors[rows[half:]], table.group[rows[half:]]) > 0.5  # of 14 subjects


# -- bad names and bad files ------------------------------------------------------------------


def test_unknown_name_offers_the_nearest():
    for call in (describe, load_outcomes):
        with pytest.raises(UnknownName, match="imdb-services"):
            call("imdb-service")


@pytest.fixture
def copied_data(tmp_path, monkeypatch):
    shutil.copytree(data_folder() / "outcomes", tmp_path / "outcomes")
    shutil.copy(data_folder() / "catalogue.json", tmp_path)
    monkeypatch.setattr(catalogue, "data_folder", lambda: tmp_path)
    return tmp_path


def test_a_truncated_table_is_refused_with_the_fix(copied_data):
    path = copied_data / "outcomes" / "game-of-24.parquet"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"game-of-24\.parquet' is damaged.*reinstall"):
        load_outcomes("game-of-24")


def test_one_changed_byte_is_noticed(copied_data):
    path = copied_data / "outcomes" / "game-of-24.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        load_outcomes("game-of-24")


def test_a_missing_table_is_named(copied_data):
    (copied_data / "outcomes" / "game-of-24.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"game-of-24.*reinstall"):
        load_outcomes("game-of-24")


def test_without_a_catalogue_both_places_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue, "__file__", str(tmp_path / "package" / "catalogue.py"))
    with pytest.raises(FileNotFoundError, match=r"package/data.*reinstall"):
        outcomes_catalogue()


def test_an_installed_package_carries_its_own_data(monkeypatch, tmp_path):
    inside = tmp_path / "package" / "data"
    inside.mkdir(parents=True)
    (inside / "catalogue.json").write_text(json.dumps({}))
    monkeypatch.setattr(catalogue, "__file__", str(tmp_path / "package" / "catalogue.py"))
    assert data_folder() == inside


def test_loading_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_outcomes("gsm8k-44-llms").summary()
        outcomes_catalogue()


def test_expressions_have_their_words():
    """RAF-DB publishes how many images each expression has: no two have the same number."""
    published = {"surprise": 1619, "fear": 355, "disgust": 877, "happiness": 5957,
                 "sadness": 2460, "anger": 867, "neutral": 3204}  # fmt: skip
    faces, wild = load_outcomes("rafdb-services"), load_outcomes("expw-services")
    found = dict(zip(faces.labels, np.bincount(faces.truth).tolist(), strict=True))
    assert found == published and wild.labels == faces.labels
