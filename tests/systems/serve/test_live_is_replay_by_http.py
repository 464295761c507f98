"""Policies behind the gateway decide as `Policy.decide` does on the recorded table."""

import math

import httpx2
import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import UNPARSED
from ensemble_lab.systems.serve.app import app
from ensemble_lab.systems.serve.deciding import Served
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.upstream import Upstream
from tests.support.policies import every_policy
from tests.systems.serve.mock import Mock, serving

ITEMS, MODELS, LABELS = 200, ("small", "middle", "big"), ("A", "B", "C", "D")
PRICE = (1e6, 2e6)  # USD: so that a token costs a whole number


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    shape = ITEMS, len(MODELS)
    truth = rng.integers(0, len(LABELS), ITEMS)
    right = rng.random(shape) < (0.5, 0.65, 0.85)
    answer = np.where(right, truth[:, None], rng.integers(0, len(LABELS), shape))
    answer[rng.random(shape) < 0.05] = UNPARSED
    tokens = rng.integers(1, 9, (*shape, 2))
    sure = np.exp(np.log(rng.random(shape) * 0.9 + 0.1))
    return Outcomes(
        models=MODELS,
        items=np.arange(ITEMS),
        correct=(answer == truth[:, None]).astype(float),
        answer=answer,
        truth=truth,
        labels=LABELS,
        confidence=np.vectorize(lambda p: math.exp(math.log(p)))(sure),
        cost=tokens @ np.array((1.0, 2.0)),
        tokens=tokens[..., 1].astype(float),
        features={
            "length": rng.integers(1, 500, ITEMS).astype(float),
            "odd": rng.random(ITEMS),
        },
        group=rng.choice(["easy", "hard"], ITEMS).tolist(),
    )


def policies_of(table):
    fitted = [
        lab.WeightedVote(),
        lab.LearnedSelector("small", "big"),
        lab.BudgetCascade(16.0),
        lab.GroupRouter(),
        lab.NeighbourRouter(3),
        lab.SubsetRouter(2),
        lab.CachedRouter(radius=0.0),
    ]
    half = table.take(np.arange(ITEMS) % 2 == 0)
    plain = [
        policy
        for policy in every_policy(MODELS, LABELS)
        if not isinstance(policy, lab.RankVote | lab.MeanVote | lab.ProductVote | lab.MaxVote
                          | lab.MinVote | lab.MedianVote)
    ]  # fmt: skip
    return plain + [policy.fit(half) for policy in fitted]


@pytest.fixture(scope="module")
def gateway(table):
    def says(body):
        row, column = int(body["messages"][0]["content"]), MODELS.index(body["model"])
        code, given = table.answer[row, column], table.tokens[row, column]
        text = f"The answer is ({LABELS[code]})." if code >= 0 else "I do not know."
        cost = table.cost[row, column]
        return {
            "text": text,
            "logprobs": [math.log(table.confidence[row, column])],
            "tokens": (int(cost - 2 * given), int(given)),
        }

    def features(questions):
        rows = [int(q) if q.isdigit() else 0 for q in questions]
        return {name: values[rows] for name, values in table.features.items()}

    mock = Mock(says)
    with serving(mock) as address:
        members = {
            name: Member(
                Upstream(name, f"{address}/v1"),
                parse={"choice": "ABCD"},
                confidence="logprobs",
                price=PRICE,
            )
            for name in MODELS
        }
        policies = policies_of(table)
        served = {f"p{i}": Served(p, features, LABELS) for i, p in enumerate(policies)}
        with serving(app(served, members)) as url, httpx2.Client(base_url=url) as client:
            yield policies, client, mock


def ask(client, mock, name, row, table):
    before = len(mock.asked)
    reply = client.post(
        "/v1/chat/completions",
        json={
            "model": name,
            "messages": [{"role": "user", "content": str(row)}],
            "metadata": {"group": table.group[row]},
        },
    )
    assert reply.status_code == 200, (name, reply.text)
    return reply, [body["model"] for body in mock.asked[before:]]


def assert_equal(reply, asked, policy, replay, row):
    called = [name for name in reply.headers["x-ensemble-called"].split(",") if name]
    expected = [name for name, yes in zip(MODELS, replay.called[row], strict=True) if yes]
    assert sorted(called) == sorted(asked) == sorted(expected), policy
    assert float(reply.headers["x-ensemble-cost"]) == pytest.approx(replay.cost[row]), policy
    message, label = reply.json()["choices"][0]["message"], replay.answers[row]
    if replay.abstained[row]:
        assert message["content"] is None and message["refusal"], policy
    elif label is None:
        assert message["content"] == "I do not know.", policy
    else:
        assert message["content"] in (label, f"The answer is ({label})."), policy
    assert reply.headers["x-ensemble-rule"]


WHOLE = (lab.MajorityVote, lab.BudgetCascade, lab.NeighbourRouter)


@pytest.mark.parametrize("kind", WHOLE)
def test_200_items_by_http_are_decided_as_in_replay(kind, table, gateway):
    policies, client, mock = gateway
    at = next(i for i, policy in enumerate(policies) if isinstance(policy, kind))
    replay = policies[at].decide(table)
    for row in range(ITEMS):
        assert_equal(*ask(client, mock, f"p{at}", row, table), policies[at], replay, row)


def test_every_policy_by_http_decides_as_in_replay(table, gateway):
    policies, client, mock = gateway
    for at, policy in enumerate(policies):
        replay = policy.decide(table)
        for row in range(at, ITEMS, 25):
            assert_equal(*ask(client, mock, f"p{at}", row, table), policy, replay, row)
