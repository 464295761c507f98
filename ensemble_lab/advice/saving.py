"""An advised policy as files: settings that the gateway takes, and what was learned as numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import ensemble_lab
from ensemble_lab.advice.learners import save_learner
from ensemble_lab.answers.refit import save_recipe
from ensemble_lab.answers.saved import save_policy
from ensemble_lab.answers.toml import key, settings_of, written
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.required import check_outcomes
from ensemble_lab.core.whole import write_whole

PORT = 8001  # of the first model, as long as nobody says where it is


def save_advised(policy: Policy | OnlinePolicy, path: str | Path, outcomes: Outcomes) -> list[Path]:
    """Write a policy for `ensemble-lab serve` and `load_policy`, or a bandit for `load_learner`.

    Parameters
    ----------
    policy : Policy or OnlinePolicy
        Fitted. A bandit is written with what it learns from the rows, in the order of the table.
    path : path
        Of a TOML file. The addresses of the models in it are to be filled in by hand.
    outcomes : Outcomes
        The table of the advice: it says which models there are, and what the policy reads of them.

    Returns
    -------
    list of Path
        The TOML file and, where the policy learned more than settings, ``NAME.policy.json`` with
        its arrays. Of an estimator that no file can hold a recipe is written, ``NAME.recipe.toml``
        with ``NAME.table.parquet``, and loading fits it again. What a bandit has learned is in
        ``NAME.state.json``.

    Raises
    ------
    ValueError
        A policy that is not of this package, or that learns while it answers and has no state. A
        bandit that needs prices and a table without costs, or a budget whose stream ends there.

    Examples
    --------
    >>> import ensemble_lab as lab, tempfile
    >>> table = lab.load_outcomes("audiomnist-services")
    >>> path = Path(tempfile.mkdtemp()) / "advised.toml"
    >>> _ = save_advised(lab.Cascade(("DeepSpeech", "Microsoft"), (0.66,)), path, table)
    >>> lab.load_policy(path)
    Cascade(order=('DeepSpeech', 'Microsoft'), thresholds=(0.66,), abstain=None)
    """
    check_outcomes(outcomes)
    if not isinstance(policy, Policy | OnlinePolicy):
        given = f"a {type(policy).__name__}"
        if isinstance(policy, type):
            given = f"the class {policy.__name__}"
        if isinstance(getattr(policy, "policy", None), Policy):  # an Advice, or a Candidate
            raise ValueError(f"this is {given}, which has a policy; give its policy: .policy")
        raise ValueError(f"{given} is no policy; give the policy of an advice: advice.policy")
    if not isinstance(path, str | Path) or Path(path).suffix != ".toml":
        raise ValueError(f"path is {shown(path, 60)}; give the name of a .toml file")
    path = Path(path)
    if isinstance(policy, OnlinePolicy):
        return save_learner(policy, path, outcomes)
    files, table = [path], settings_of(policy)
    if table is None:
        stored = path.with_suffix(".policy.json")
        try:
            save_policy(policy, stored)
            files.append(stored)
        except ValueError:
            if getattr(policy, "estimator", None) is None:
                raise
            files += save_recipe(policy, path.with_suffix(".recipe.toml"), outcomes)
        table = {"file": files[1].name}
    members = members_of(policy, outcomes)
    reads = reads_of(policy, outcomes)
    text = [
        f"# Written by ensemble_lab {ensemble_lab.__version__}: the policy that was advised.",
        "# Put in where your models answer, then run: ensemble-lab serve " + excerpt(path.name, 60),
    ]
    if reads["features"]:
        text.append(f"# It reads features of the question: {', '.join(reads['features'][:5])}.")
        text.append("# From Python, give Served(policy, features=…) to start_gateway.")
    tables = {"policies.advised": table}
    for place, name in enumerate(members):
        about = {"url": f"http://127.0.0.1:{PORT + place}/v1", "model": name}
        if reads["answer"]:
            about["parse"] = "exact"
        if reads["confidence"] and name in reads["confidence"]:
            about["confidence"] = "logprobs"
        tables[f"models.{key(name)}"] = about
    write_whole(path, "\n".join([*text, "", written(tables)]))
    return files


def members_of(policy: Policy, outcomes: Outcomes) -> list[str]:
    """The models that the policy may ask, in the order of asking."""
    waves = policy.waves(outcomes.models)
    called = policy.decide(outcomes).called.any(axis=0)
    asked = [name for wave in waves for name in wave]
    listed = getattr(policy, "order", None) or getattr(policy, "members", None)
    if listed is None and len(asked) == len(outcomes.models):  # perhaps more than it ever asks
        return [name for name in asked if called[outcomes.models.index(name)]]
    return asked


def reads_of(policy: Policy, outcomes: Outcomes) -> dict:
    """What the policy reads: whether answers, whose confidences, and which features."""
    few = outcomes.take(np.arange(min(len(outcomes), 200))).blinded()

    def decides_without(**gone) -> bool:
        try:
            return _same(policy.choose(replace(few, **gone)), policy.choose(few))
        except (ValueError, LookupError):
            return False

    without = {"answer": None, "labels": (), "probability": None}
    answer = few.answer is not None and not decides_without(**without)
    confidence: list[str] = []
    if few.confidence is not None:
        for j, name in enumerate(few.models):
            blank = few.confidence.copy()
            blank[:, j] = np.nan
            if not decides_without(confidence=blank):
                confidence.append(name)
    features = [
        name
        for name in few.features
        if not decides_without(features={k: v for k, v in few.features.items() if k != name})
    ]
    return {"answer": answer, "confidence": confidence, "features": features}


def _same(one, other) -> bool:
    return bool(
        np.array_equal(one.chosen, other.chosen) and np.array_equal(one.called, other.called)
    )
