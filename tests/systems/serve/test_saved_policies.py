"""A policy that was fitted, saved, and named by a settings file decides as in replay."""

import numpy as np
import openai
import pytest

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.models.sentences import missing
from ensemble_lab.systems.serve.app import app
from ensemble_lab.systems.serve.settings import read_settings
from tests.systems.serve.mock import Mock, serving

MODELS, ITEMS = ("small", "big"), 60
SUBJECTS = ("apples", "trains", "coins", "books", "pies")


def questions():
    rng = np.random.default_rng(0)
    return [
        f"Ann has {rng.integers(2, 99)} {rng.choice(SUBJECTS)}"
        + f" and gives {rng.integers(2, 9)} away" * int(rng.integers(0, 9))
        + f". How many are left, case {i}?"
        for i in range(ITEMS)
    ]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    features = lab.QuestionFeatures.of("routellm-gsm8k")(questions())
    hard = features["prompt_chars"] > np.median(features["prompt_chars"])
    right = rng.random((ITEMS, 2)) < np.where(hard[:, None], (0.1, 0.9), (0.9, 0.9))
    answer = np.where(right, np.arange(ITEMS)[:, None], ITEMS + np.arange(2))
    labels = tuple(map(str, range(ITEMS + 2)))
    return Outcomes(
        models=MODELS,
        items=np.arange(ITEMS),
        correct=right.astype(float),
        answer=answer,
        labels=labels,
        confidence=rng.random((ITEMS, 2)),
        cost=np.full((ITEMS, 2), (1e-6, 9e-6)),
        features=features,
    )


@pytest.fixture(scope="module")
def served(table, tmp_path_factory):
    folder, texts = tmp_path_factory.mktemp("gateway"), questions()
    policies = {
        "router": lab.QualityRouter(cost_weight=0.3).fit(table),
        "near": lab.NeighbourRouter(5, cost_weight=0.3).fit(table),
        "stored": lab.CachedRouter(radius=0.0, of=lab.QualityRouter(cost_weight=0.3)).fit(
            table.take(np.arange(ITEMS) % 3 == 0)
        ),
    }

    def says(body):
        row = texts.index(body["messages"][-1]["content"])
        return f"It is {table.labels[table.answer[row, MODELS.index(body['model'])]]}"

    mock = Mock(says)
    with serving(mock) as address:
        lines = [
            f'[models.{name}]\nurl = "{address}/v1"\nmodel = "{name}"\nparse = "last number"'
            for name in MODELS
        ]
        for name, policy in policies.items():
            lab.save_policy(policy, folder / f"{name}.json")
            lines.append(
                f'[policies.{name}]\nfile = "{name}.json"\nfeatures = "routellm-gsm8k"\n'
                f"labels = {list(table.labels)}"
            )
        path = folder / "gateway.toml"
        path.write_text("\n".join(lines), "utf-8")
        found = read_settings(path)
        with serving(app(found.policies, found.models)) as url:
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            yield policies, client, mock


@pytest.mark.skipif(bool(missing()), reason="no sentence encoder here")
@pytest.mark.parametrize("name", ["router", "near", "stored"])
def test_the_official_client_gets_what_replay_decides(served, table, name):
    policies, client, mock = served
    replay, called = policies[name].decide(table), set()
    for row, text in enumerate(questions()):
        before = len(mock.asked)
        raw = client.chat.completions.with_raw_response.create(
            model=name, messages=[{"role": "user", "content": text}]
        )
        asked = [body["model"] for body in mock.asked[before:]]
        wanted = [one for one, yes in zip(MODELS, replay.called[row], strict=True) if yes]
        said, answer = raw.parse().choices[0].message.content, replay.answers[row]
        assert asked == wanted and said in (answer, f"It is {answer}")
        assert raw.headers["x-ensemble-called"] == ",".join(wanted)
        called.add(tuple(wanted))
        if not wanted:
            assert raw.headers["x-ensemble-rule"].startswith("an answer is stored")
            assert float(raw.headers["x-ensemble-cost"]) == 0
            assert raw.parse().usage.total_tokens == 0
    # Each policy makes use of its choices here.
    assert called == {("small",), ("big",)} | ({()} if name == "stored" else set())


@pytest.mark.skipif(bool(missing()), reason="no sentence encoder here")
def test_a_stored_answer_is_counted(served):
    _, client, _ = served
    chat = [{"role": "user", "content": questions()[0]}]
    client.chat.completions.create(model="stored", messages=chat)
    parts = list(client.chat.completions.create(model="stored", messages=chat, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts)
    text = client.get("../metrics", cast_to=str)
    line = next(one for one in text.splitlines() if one.startswith("ensemble_stored_total"))
    assert 'model="stored"' in line and float(line.split()[-1]) >= 2
