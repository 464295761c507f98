"""A router on live models: endpoints that answer, hang or send nonsense, and loaded models."""

import threading

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.models.endpoints.endpoint import Endpoint
from ensemble_lab.models.errors import EndpointNonsense, EndpointTimeout
from tests.support.raw_server import completion, http, raw_server


@pytest.fixture(scope="module")
def router():
    """Long questions go to `big`: `small` is wrong on them."""
    length = np.arange(10, 210, 2)
    right = np.stack([length < 100, np.ones(100)], axis=1).astype(float)
    table = lab.Outcomes(
        models=["small", "big"],
        items=range(100),
        correct=right,
        cost=np.tile([0.01, 1.0], (100, 1)),
        features={"question_chars": length},
    )
    return lab.QualityRouter(cost_weight=0.3).fit(table)


def features(texts):
    return {"question_chars": [len(text) for text in texts]}


SHORT, LONG = "What is 2 + 2?", "A long question. " * 12


def test_only_the_chosen_endpoint_is_asked(router):
    with raw_server(http(completion("4"))) as (small, of_small):
        with raw_server(http(completion("42"))) as (big, of_big):
            models = {"small": Endpoint(small, "s"), "big": Endpoint(big, "b")}
            assert lab.run(router, models, SHORT, features=features).answers == ["4"]
            assert len(of_small) == 1 and not of_big
            assert lab.run(router, models, LONG, features=features).answers == ["42"]
            assert len(of_small) == 1 and len(of_big) == 1
    assert router.route(SHORT, features=features).model == "small"
    assert router.route(LONG, features=features).model == "big"


def test_an_endpoint_that_hangs_or_answers_nonsense_is_named(router):
    release = threading.Event()
    with raw_server(lambda peer: release.wait(20)) as (silent, _):
        with raw_server(http(b"<html>")) as (odd, _):
            models = {"small": Endpoint(silent, "s", timeout=0.3), "big": Endpoint(odd, "b")}
            with pytest.raises(EndpointTimeout) as caught:
                lab.run(router, models, SHORT, features=features)
            assert "'small'" in "".join(caught.value.__notes__)
            with pytest.raises(EndpointNonsense) as caught:
                lab.run(router, models, LONG, features=features)
            assert "'big'" in "".join(caught.value.__notes__)
            release.set()


def test_a_reply_without_an_answer_is_unparsed(router):
    with raw_server(http(completion("I am not sure"))) as (url, _):
        model = Endpoint(url, "s", parse=lambda text: int(text) if text.isdigit() else None)
        decision = lab.run(router, {"small": model, "big": model}, SHORT, features=features)
    assert decision.answers == [None] and not decision.abstained[0]


def test_what_a_router_reads_must_be_given(router):
    models = dict.fromkeys(("small", "big"), lambda item: "never asked")
    with pytest.raises(KeyError, match="no feature 'question_chars'"):
        lab.run(router, models, SHORT)
    with pytest.raises(TypeError, match="features gave"):
        lab.run(router, models, SHORT, features=lambda texts: len(texts[0]))
    with pytest.raises(KeyError, match="no model 'big' in the models given"):
        lab.run(router, {"small": models["small"]}, SHORT, features=features)
