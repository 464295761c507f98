"""An advised policy in files: saved, loaded, served, it decides as before."""

import tomllib
import warnings

import numpy as np
import openai
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ensemble_lab as lab
from ensemble_lab.advice.pool import candidates
from ensemble_lab.advice.saving import save_advised
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.systems.serve.app import app
from ensemble_lab.systems.serve.settings import read_settings
from tests.systems.serve.mock import Mock, serving


def table_of(name):
    outcomes = lab.load_outcomes(name)
    outcomes = outcomes.take(np.random.default_rng(0).permutation(len(outcomes))[:400])
    return outcomes.select(models=outcomes.models[:4])


def same(one, other):
    assert np.array_equal(one.chosen, other.chosen) and np.array_equal(one.called, other.called)
    assert one.answer is None or np.array_equal(one.answer, other.answer)


@pytest.mark.parametrize("name", ["rafdb-services", "gsm8k-44-llms", "routellm-gsm8k"])
def test_every_candidate_is_saved_and_decides_the_same(name, tmp_path):
    outcomes, seen = table_of(name), set()
    for i, candidate in enumerate(candidates(outcomes, thorough=True)):
        if isinstance(candidate.policy, OnlinePolicy):
            continue
        with warnings.catch_warnings(action="ignore"):
            try:
                policy = candidate.policy.fit(outcomes)
                policy.decide(outcomes)
            except ValueError:  # the advice leaves it out
                continue
        files = save_advised(policy, tmp_path / f"{i}.toml", outcomes)
        assert all(file.is_file() for file in files)
        same(lab.load_policy(files[0]).decide(outcomes), policy.decide(outcomes))
        found = tomllib.loads(files[0].read_text("utf-8"))
        called = policy.decide(outcomes).called.any(axis=0)
        assert {outcomes.models[j] for j in np.flatnonzero(called)} <= set(found["models"])
        seen.add(candidate.family)
    assert {"single", "cascade"} <= seen or name == "routellm-gsm8k"


def test_settings_are_readable_and_can_be_changed(tmp_path):
    outcomes = lab.load_outcomes("audiomnist-services")
    path = tmp_path / "advised.toml"
    files = save_advised(lab.Cascade(("DeepSpeech", "Microsoft"), (0.66,)), path, outcomes)
    assert files == [path]
    found = tomllib.loads(path.read_text("utf-8"))
    cascade = {"kind": "Cascade", "order": ["DeepSpeech", "Microsoft"], "thresholds": [0.66]}
    assert found["policies"] == {"advised": cascade}
    # The last model's confidence is not read.
    assert [one for one, about in found["models"].items() if "confidence" in about] == [
        "DeepSpeech"
    ]
    path.write_text(path.read_text("utf-8").replace("0.66", "0.9"), "utf-8")
    assert lab.load_policy(path).thresholds == (0.9,)


def test_names_that_toml_must_quote(tmp_path):
    names = ['a "b".c', "d\\e\n\x7f", "é😀", "f.g"]
    rng = np.random.default_rng(0)
    outcomes = lab.Outcomes(models=names, items=range(30), correct=rng.integers(0, 2, (30, 4)),
                            answer=rng.integers(0, 2, (30, 4)), labels=["x", "y"])  # fmt: skip
    policy = lab.MajorityVote(tuple(names[:3]))
    save_advised(policy, tmp_path / "p.toml", outcomes)
    assert lab.load_policy(tmp_path / "p.toml") == policy
    assert list(tomllib.loads((tmp_path / "p.toml").read_text("utf-8"))["models"]) == names[:3]


ESTIMATORS = {
    "forest": RandomForestClassifier(20, max_depth=4, random_state=3),
    "pipeline": make_pipeline(
        StandardScaler(), RandomForestClassifier(10, criterion="entropy", random_state=0)
    ),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_an_estimator_that_no_file_holds_is_fitted_again(kind, tmp_path):
    outcomes = table_of("rafdb-services")
    policy = lab.StackedAnswers(estimator=ESTIMATORS[kind]).fit(outcomes)
    files = save_advised(policy, tmp_path / "advised.toml", outcomes)
    assert [file.name for file in files] == [
        "advised.toml", "advised.recipe.toml", "advised.table.parquet"
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = lab.load_policy(files[0])
    other = lab.load_outcomes("rafdb-services").select(models=outcomes.models).take(range(500))
    same(loaded.decide(other), policy.decide(other))
    assert b"pickle" not in b"".join(file.read_bytes() for file in files[:2])
    # Another table, and another fit, are noticed.
    text = files[1].read_text("utf-8")
    assert "random_state" in text
    files[1].write_text(text.replace("random_state = ", "random_state = 9"), "utf-8")
    with pytest.warns(UserWarning, match="decides otherwise"):
        lab.load_policy(files[0])
    files[1].write_text(text, "utf-8")
    outcomes.take(range(399)).to_parquet(files[2])
    with pytest.raises(ValueError, match="checksum differs"):
        lab.load_policy(files[0])
    files[2].unlink()
    with pytest.raises(ValueError, match="not beside it"):
        lab.load_policy(files[0])


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("sklearn.ensemble.RandomForestClassifier", "os.system", "is no estimator"),
        ("sklearn.ensemble.RandomForestClassifier", "sklearn.utils.Bunch", "is no estimator"),
        ("sklearn.ensemble.RandomForestClassifier", "sklearn.ensemble.Nothing", "is no estimator"),
        ("n_estimators", "trees", "no parameter 'trees'"),
        ("n_estimators = 20", 'memory = "cache"', "does not set"),
        ('table = "', 'table = "../', "beside the recipe"),
        ("version = 1", "version = 9", "no recipe that this package reads"),
        ("max_depth = 4", "max_depth = ", "not TOML"),
    ],
)
def test_a_recipe_names_no_other_code(old, new, said, tmp_path):
    outcomes = table_of("rafdb-services")
    policy = lab.StackedAnswers(estimator=ESTIMATORS["forest"]).fit(outcomes)
    recipe = save_advised(policy, tmp_path / "advised.toml", outcomes)[1]
    text = recipe.read_text("utf-8")
    assert old in text
    recipe.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ValueError, match=said):
        lab.load_policy(recipe)


def test_what_cannot_be_saved_is_refused(tmp_path):
    outcomes = table_of("rafdb-services")
    forest = RandomForestClassifier(5)
    with pytest.raises(ValueError, match="random_state"):
        save_advised(lab.StackedAnswers(estimator=forest).fit(outcomes),
                     tmp_path / "a.toml", outcomes)  # fmt: skip

    class Own(LogisticRegression):
        pass

    with pytest.raises(ValueError, match="no other code"):
        save_advised(lab.StackedAnswers(estimator=Own()).fit(outcomes),
                     tmp_path / "a.toml", outcomes)  # fmt: skip
    with pytest.raises(ValueError, match=r"give the name of a \.toml file"):
        save_advised(lab.MajorityVote(), tmp_path / "a.json", outcomes)
    with pytest.raises(ValueError, match="a str is no policy"):
        save_advised("vote", tmp_path / "a.toml", outcomes)
    assert not list(tmp_path.glob("*.toml"))


@pytest.mark.parametrize(
    "text, said",
    [("", "exactly one"), ("[policies.a]\nkind='MajorityVote'\n[policies.b]\nkind='MaxVote'",
      "exactly one"), ("[policies.a]\nkind='Vote'", "no policy 'Vote'"),
     ("[policies.a]\nkind='Cascade'\norder=['a']\nlimit=1", "no setting 'limit'"),
     ("[policies.a]\nfile='/etc/passwd'", "no policy that can be loaded"),
     ("[policies.a]\nfile='a.json'\nkind='Cascade'", "both"), ("policies = 3", "exactly one")],
)  # fmt: skip
def test_a_toml_file_without_one_policy_is_refused(text, said, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=said):
        lab.load_policy(path)


def test_a_saved_vote_is_served_and_decides_as_in_replay(tmp_path):
    outcomes = lab.load_outcomes("gsm8k-44-llms")
    outcomes = outcomes.select(models=outcomes.models[:4]).take(range(8, 16))
    policy = lab.AgreementCascade((tuple(outcomes.models[:2]), tuple(outcomes.models[3:])), 1.0)
    path = tmp_path / "advised.toml"
    save_advised(policy, path, outcomes)

    def says(body):
        row = int(body["messages"][-1]["content"])
        code = outcomes.answer[row, outcomes.models.index(body["model"])]
        return str(outcomes.labels[code]) if code >= 0 else "?"

    with serving(Mock(says)) as address:
        text = path.read_text("utf-8")
        for place in range(3):  # what the comment in the file asks for
            text = text.replace(f"http://127.0.0.1:{8001 + place}", address)
        path.write_text(text, "utf-8")
        found = read_settings(path)
        replay = policy.decide(outcomes)
        with serving(app(found.policies, found.models)) as url:
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            for row in range(len(outcomes)):
                raw = client.chat.completions.with_raw_response.create(
                    model="advised", messages=[{"role": "user", "content": str(row)}]
                )
                called = raw.headers["x-ensemble-called"].split(",")
                wanted = np.flatnonzero(replay.called[row])
                assert called == [outcomes.models[j] for j in wanted]
                assert raw.parse().choices[0].message.content == str(replay.answers[row])
    assert {tuple(row) for row in replay.called.tolist()} == {
        (True, True, False, False), (True, True, False, True)
    }  # fmt: skip
