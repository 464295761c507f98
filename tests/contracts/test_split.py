"""One model over several machines: what may be asked, what is refused, and with which words."""

import math

import numpy as np
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, refused


@pytest.fixture(scope="module")
def tiny():
    return lab.load("tiny", dtype="float32")


@contract("split")
def test_a_split_says_what_it_cannot_be(tiny):
    link = lab.Link(1e6)
    collected({
        "no model": lambda: lab.split("tiny", 2),
        "a network": lambda: lab.split(tiny.model, 2),
        "cut before the first layer": lambda: lab.split(tiny, 0),
        "cut behind the last layer": lambda: lab.split(tiny, 4),
        "a negative cut": lambda: lab.split(tiny, -1),
        "half a layer": lambda: lab.split(tiny, 1.5),
        "true": lambda: lab.split(tiny, True),
        "no cut": lambda: lab.split(tiny, []),
        "a cut twice": lambda: lab.split(tiny, [1, 1]),
        "cuts that go back": lambda: lab.split(tiny, [2, 1]),
        "a set of cuts": lambda: lab.split(tiny, {1, 2}),
        "a text of cuts": lambda: lab.split(tiny, "12"),
        "a speed for a link": lambda: lab.split(tiny, 2, link=1e6),
        "a text for a link": lambda: lab.split(tiny, 2, link="100 Mbit/s"),
        "two links for one cut": lambda: lab.split(tiny, 2, link=[link, link]),
        "four bits": lambda: lab.split(tiny, 2, bits=4),
        "true bits": lambda: lab.split(tiny, 2, bits=True),
        "negative spares": lambda: lab.split(tiny, 2, spares=-1),
        "half a spare": lambda: lab.split(tiny, 2, spares=0.5),
        "no room": lambda: lab.split(tiny, 2, room=0),
        "more room than the model sees": lambda: lab.split(tiny, 2, room=513),
        "no patience": lambda: lab.split(tiny, 2, patience=0),
        "endless patience": lambda: lab.split(tiny, 2, patience=math.inf),
        "no time": lambda: lab.split(tiny, 2, timeout=math.nan),
    })  # fmt: skip


@contract("Split", "StageFailed", "NoStageLeft")
def test_a_split_refuses_texts_without_room_and_all_texts_once_it_is_closed(tiny):
    with lab.split(tiny, np.array([2]), room=np.int64(20), spares=0) as stages:
        assert isinstance(stages, lab.Split) and [one.last for one in stages.stages] == [2, 4]
        collected({
            "a text longer than the room": lambda: stages.generate("The sea", 19),
            "no prompt": lambda: stages.generate([], 3),
            "two prompts": lambda: stages.generate(["a", "b"], 3),
            "a token that there is not": lambda: stages.generate([5000], 3),
            "no token": lambda: stages.generate("The sea", 0),
            "half a token": lambda: stages.stream("The sea", 1.5),
            "cold": lambda: stages.stream("The sea", 3, temperature=-1),
            "a seed of text": lambda: stages.stream("The sea", 3, temperature=1, seed="x"),
            "no such stage": lambda: stages.kill(2),
            "a negative stage": lambda: stages.kill(-1),
        })  # fmt: skip
        assert len(stages.generate([5, 6], 18).tokens) == 18  # the room is used whole
        stages.kill(1)
        text = stages.stream("The sea", 5)
        with refused("layers 2 to 3"):
            next(text)
    with refused("is closed"):
        next(text)
    with refused("is closed"):
        stages.add_spare()
    stages.close()


@contract("Link")
def test_a_link_lets_something_through(tiny):
    collected({
        "no bandwidth": lambda: lab.Link(0),
        "a negative bandwidth": lambda: lab.Link(-1e6),
        "an unknown bandwidth": lambda: lab.Link(math.nan),
        "a bandwidth with a unit": lambda: lab.Link("100 Mbit/s"),
        "true": lambda: lab.Link(True),
        "a negative delay": lambda: lab.Link(1e6, -0.1),
        "an endless delay": lambda: lab.Link(1e6, math.inf),
        "a delay in milliseconds as text": lambda: lab.Link(1e6, "50 ms"),
        "a negative message": lambda: lab.Link(1e6).seconds(-1),
        "no message": lambda: lab.Link(1e6).seconds(None),
    })  # fmt: skip
    for number in (np.float64(8e6), np.float32(8e6), 8_000_000):
        assert lab.Link(number, np.float64(0.5)).seconds(np.int64(1_000_000)) == 1.5


@contract("cut_errors", "CutError")
def test_errors_of_cuts_are_asked_for_in_any_form(tiny):
    collected({
        "no model": lambda: lab.cut_errors("tiny", "The sea"),
        "no prompt": lambda: lab.cut_errors(tiny, []),
        "an unknown scale": lambda: lab.cut_errors(tiny, "The sea", scale="channel"),
        "no scale": lambda: lab.cut_errors(tiny, "The sea", scale=None),
        "a cut behind the last layer": lambda: lab.cut_errors(tiny, "The sea", after=4),
    })  # fmt: skip
    several = lab.cut_errors(tiny, np.array(["The sea", "A cat"]), after=(1, 2))
    assert [one.after for one in several] == [1, 2]
    (alone,) = lab.cut_errors(tiny, "The sea", after=np.int64(2))
    assert isinstance(alone, lab.CutError) and 0 <= alone.changed <= 1


@contract("Server", "quickest_route", "weakest_window")
def test_a_swarm_is_made_of_servers():
    one = lab.Server(0, 4, 0.01)
    collected({
        "no block": lambda: lab.Server(2, 2, 0.01),
        "a span that goes back": lambda: lab.Server(3, 1, 0.01),
        "half a block": lambda: lab.Server(0, 1.5, 0.01),
        "a negative time": lambda: lab.Server(0, 1, -0.01),
        "an unknown trip": lambda: lab.Server(0, 1, 0.01, math.nan),
        "an endless trip": lambda: lab.Server(0, 1, 0.01, math.inf),
        "no swarm": lambda: lab.quickest_route(None, 4),
        "one server": lambda: lab.quickest_route(one, 4),
        "no server": lambda: lab.quickest_route([], 4),
        "a pair": lambda: lab.quickest_route([(0, 4)], 4),
        "a block without a server": lambda: lab.quickest_route([one], 5),
        "no blocks": lambda: lab.quickest_route([one], 0),
        "more than all blocks": lambda: lab.quickest_route([one], 3),
        "a window of none": lambda: lab.weakest_window([one], 4, 0),
        "a window larger than all": lambda: lab.weakest_window([one], 4, 5),
        "half a window": lambda: lab.weakest_window([one], 4, 1.5),
    })  # fmt: skip
    assert lab.quickest_route(np.array([one], dtype=object), np.int64(4)) == [(0, 0, 4)]
    free = lab.Server(0, 4, 0)
    assert lab.quickest_route([one, free], 4) == [(1, 0, 4)]
    assert lab.weakest_window([free], 6, 2) == 4
