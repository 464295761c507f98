"""A saved policy decides as before; a hostile file is refused and runs nothing."""

import copy
import itertools
import json
import pickle
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from tests.support.policies import every_policy, learning_policies

MODELS, LABELS = ("small", "middle", "big"), ("a", "b")


def made(seed=0, n=40):
    rng = np.random.default_rng(seed)
    answer, truth = rng.integers(0, 2, (n, 3)), rng.integers(0, 2, n)
    return Outcomes(
        models=MODELS,
        items=range(n),
        correct=(answer == truth[:, None]).astype(float),
        answer=answer,
        labels=LABELS,
        truth=truth,
        confidence=rng.random((n, 3)).round(1),
        cost=np.tile([0.1, 0.2, 0.5], (n, 1)),
        features={"length": rng.integers(1, 500, n), "embedding:0": rng.random(n)},
        group=rng.choice(["easy", "hard"], n).tolist(),
        probability=rng.dirichlet([1, 1], (n, 3)),
    )


TABLE, OTHER = made(), made(seed=1)
LEARNED = [policy.fit(TABLE) for policy in learning_policies(MODELS)]
POLICIES = [*every_policy(MODELS, LABELS), *learning_policies(MODELS), *LEARNED]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
def test_every_policy_decides_as_before(policy, tmp_path):
    path = tmp_path / "policy.json"
    lab.save_policy(policy, path)
    loaded = lab.load_policy(str(path))
    assert type(loaded) is type(policy) and b"pickle" not in path.read_bytes()
    for table in (TABLE, OTHER):
        try:
            one = policy.decide(table)
        except ValueError as error:  # it was not fitted
            with pytest.raises(type(error)) as found:
                loaded.decide(table)
            assert str(found.value) == str(error)
            continue
        other = loaded.decide(table)
        for name in ("called", "chosen", "answer", "cost", "correct"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    again = tmp_path / "again.json"
    lab.save_policy(loaded, again)
    assert again.read_bytes() == path.read_bytes()


def test_what_cannot_be_saved_is_named_and_nothing_is_written(tmp_path):
    @dataclass(frozen=True)
    class Own(Policy):
        def choose(self, outcomes):
            raise AssertionError

    forest = lab.QualityRouter(estimator=RandomForestClassifier(5, random_state=0))
    path = tmp_path / "policy.json"
    for policy, said in [
        (Own(), "no policy of this package"),
        (3, "no policy of this package"),
        (forest, "RandomForestClassifier"),
        (forest.fit(TABLE), "RandomForestClassifier"),
    ]:
        with pytest.raises(ValueError, match=said):
            lab.save_policy(policy, path)
    assert not list(tmp_path.iterdir())


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it ran",))


def saved(policy, tmp_path):
    lab.save_policy(policy, tmp_path / "policy.json")
    return json.loads((tmp_path / "policy.json").read_bytes())


def refused(content, tmp_path):
    path = tmp_path / "hostile.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(
        ValueError, match=r"hostile\.json' is no policy that can be loaded"
    ) as found:
        lab.load_policy(path)
    text = str(found.value)
    assert len(text) <= 300 and "\n" not in text
    return text.partition("loaded: ")[2]


def test_files_that_are_none_are_refused(tmp_path):
    for content in (
        b"", b"{", b"[]", b"null", b"\xff\xfe", pickle.dumps(Bomb()), b"[" * 100_000, {},
        {"format": "ensemble_lab.policy", "version": 1},
    ):  # fmt: skip
        assert refused(content, tmp_path)
    with pytest.raises(FileNotFoundError, match="save_policy"):
        lab.load_policy(tmp_path / "none.json")
    for path in (3, "", None):
        with pytest.raises(ValueError, match="give the path"):
            lab.load_policy(path)


def changed(found, *path, to):
    """A copy of JSON with the value at a path replaced."""
    found = copy.deepcopy(found)
    *way, last = path
    place = found
    for step in way:
        place = place[step]
    place[last] = to
    return found


def test_another_version_class_field_or_number_is_refused_with_its_place(tmp_path):
    found = saved(lab.Cascade(("small", "big"), (0.5,)), tmp_path)
    at = ("policy", "fields")
    for content, said in [
        (changed(found, "version", to=2), "version is 2 .* newer ensemble_lab"),
        (changed(found, "format", to="x"), "not written by save_policy"),
        (changed(found, "more", to=1), "unknown field 'more'"),
        (changed(found, "policy", "class", to="Cascad"), "did you mean 'Cascade'"),
        (changed(found, "policy", "class", to="os.system"), "no class 'os.system'"),
        (changed(found, "policy", "class", to="Policy"), "no class 'Policy'"),
        (changed(found, "policy", "more", to=1), "unknown field 'more'"),
        (changed(found, *at, "more", to=1), r"policy \(Cascade\) has an unknown field 'more'"),
        (changed(found, *at, to={}), r"policy \(Cascade\) has no field 'abstain'"),
        (changed(found, *at, "thresholds", "tuple", 0, to=5), "thresholds is 5, outside"),
        (changed(found, *at, "thresholds", "tuple", 0, to=float("nan")), "NaN"),
        (changed(found, *at, "order", to={"class": "Ridge", "fields": {}}), "not expected"),
        (changed(found, "policy", to=5), "policy is 5"),
    ]:
        assert re.search(said, why := refused(content, tmp_path)), why
    assert refused(json.dumps(found).replace("0.5", "1e999").encode(), tmp_path)


@pytest.mark.parametrize("policy", LEARNED, ids=lambda p: type(p).__name__)
def test_wrong_shapes_and_gaps_in_what_was_learned_are_refused(policy, tmp_path):
    found = saved(policy, tmp_path)
    for path, array in list(_arrays(found, ())):
        if "labels_" in path:
            continue
        gap = array | {"data": [None] + array["data"][1:]}
        assert refused(changed(found, *path, to=gap), tmp_path)
        short = array | {"data": array["data"][1:]}
        assert "numbers for the shape" in refused(changed(found, *path, to=short), tmp_path)
        extra = array | {"shape": [*array["shape"], 1]}
        assert refused(changed(found, *path, to=extra), tmp_path), path
        code = array | {"array": "object"}
        assert "object" in refused(changed(found, *path, to=code), tmp_path)
        if path[-1] in ("seen", "edges"):  # of any length
            continue
        columns = array["shape"][-1]
        wide = [*array["shape"][:-1], columns + 1]
        longer = {"array": array["array"], "shape": wide, "data": [1] * int(np.prod(wide))}
        if array["array"] == "bool":
            longer["data"] = [True] * len(longer["data"])
        assert refused(changed(found, *path, to=longer), tmp_path), path


def _arrays(value, path):
    if isinstance(value, dict):
        if "array" in value:
            yield path, value
        else:
            for name, part in value.items():
                yield from _arrays(part, (*path, name))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from _arrays(part, (*path, i))


def test_a_policy_of_another_scikit_learn_is_refused(tmp_path):
    found = saved(replace(lab.QualityRouter()).fit(TABLE), tmp_path)
    assert "fit again" in refused(changed(found, "scikit-learn", to="0.1"), tmp_path)


def test_a_state_of_another_router_is_refused(tmp_path):
    fitted = {type(p).__name__: p for p in LEARNED if hasattr(p, "models")}
    files = {name: saved(policy, tmp_path) for name, policy in fitted.items()}
    state = ("policy", "fields", "fitted", "fields", "state")
    stored = files["DynamicSelection"]["policy"]["fields"]["fitted"]["fields"]["state"]
    for name, found in files.items():
        if name not in ("DynamicSelection", "SimilarityRouter"):
            assert refused(changed(found, *state, to=stored), tmp_path), name


def _places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3])
    for step, part in inner if isinstance(value, dict | list) else ():
        if isinstance(part, dict | list):
            yield from _places(part, (*path, step))
        else:
            yield (*path, step)


@pytest.mark.parametrize("policy", LEARNED, ids=lambda p: type(p).__name__)
def test_any_value_in_any_place_loads_or_is_refused_in_our_words(policy, tmp_path):
    found, path = saved(policy, tmp_path), tmp_path / "hostile.json"
    values = [None, [], {}, "x", -1, 1e300, {"tuple": [1]}, {"class": "Space"}]
    # Eight values in turn: neighbouring places meet different ones.
    for place, value in zip(list(_places(found))[1:], itertools.cycle(values), strict=False):
        path.write_text(json.dumps(changed(found, *place, to=value)))
        try:
            lab.load_policy(path)
        except ValueError as error:
            assert "is no policy that can be loaded" in str(error)
