"""Members and policies from the tables of a settings file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemble_lab.answers.saved import load_policy
from ensemble_lab.answers.toml import policy_of_kind
from ensemble_lab.core.errors import shown
from ensemble_lab.models.endpoints.address import Address
from ensemble_lab.models.endpoints.keys import VARIABLE as OPENAI_KEY
from ensemble_lab.models.endpoints.keys import checked
from ensemble_lab.systems.serve.checks import check_keys, check_seconds, share_of
from ensemble_lab.systems.serve.confidence import Agreement, Verifier
from ensemble_lab.systems.serve.deciding import Served
from ensemble_lab.systems.serve.listening import is_own
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.resilience import Breaker, Budget, Hedge
from ensemble_lab.systems.serve.upstream import COOLDOWN, FAILURES, WINDOW, Upstream

ENDPOINT = ("model", "key_env", "served_as", "timeout", "hedge", "breaker")
MODEL = ("url", "load", "parse", "confidence", "price", *ENDPOINT)
POLICY = ("kind", "file", "features", "labels")
RECORD = ("path", "prompts", "key_env")


def member_of(table: Mapping[str, Any], own: tuple[str, int], budget: Budget) -> Member:
    """A member from its table; `own` is the host and port of the gateway."""
    check_keys(table, MODEL, "a model")
    if ("url" in table) == ("load" in table):
        raise ValueError("give either url, of an endpoint, or load, of a model here")
    source = _loaded(table) if "load" in table else _endpoint(table, own, budget)
    price = table.get("price")
    return Member(
        source,
        parse=table.get("parse"),
        confidence=_confidence(table.get("confidence")),
        price=tuple(price) if isinstance(price, list) else price,
        served_as=table.get("served_as"),
    )


def _loaded(table: Mapping[str, Any]):
    from ensemble_lab.models.load import load

    for key in (k for k in MODEL if k in ENDPOINT):
        if key in table:
            raise ValueError(f"{key} is for an endpoint; leave it out, or give url")
    return load(table["load"])


def _endpoint(table: Mapping[str, Any], own: tuple[str, int], budget: Budget):

    address, model = Address.of(table["url"]), table.get("model")
    if not isinstance(model, str) or not model:
        raise ValueError(f"model is {shown(model)}; give the model's name on that server")
    if is_own(address, own):
        raise ValueError(
            f"url {shown(address.plain)} is the gateway itself, which would ask itself without end;"
            " give another address, or another port for the gateway"
        )
    timeout = table.get("timeout", 60.0)
    check_seconds(timeout, "timeout")
    breaker, hedge = _breaker(table.get("breaker", {})), _hedge(table.get("hedge", False))
    variable = table.get("key_env")
    key = _key_of(variable) or os.environ.get(OPENAI_KEY, "").strip()
    if not variable and not address.safe:
        key = ""  # over plain http others can read it: sent only where it is named
    key = checked(key, variable or OPENAI_KEY) if key else None
    return Upstream(
        model,
        table["url"],
        key,
        budget=budget,
        timeout=float(timeout),
        breaker=breaker,
        hedge=hedge,
    )


def _breaker(table: Any) -> Breaker:
    if not isinstance(table, Mapping):
        raise ValueError(f"breaker is {shown(table)}; give {{failures = 5, window = 10}}")
    check_keys(table, ("failures", "window", "cooldown"), "breaker")
    failures = table.get("failures", FAILURES)
    if not isinstance(failures, int) or isinstance(failures, bool):
        raise ValueError(f"failures is {shown(failures)}; give a whole number from 1")
    window, cooldown = table.get("window", WINDOW), table.get("cooldown", COOLDOWN)
    check_seconds(window, "window")
    check_seconds(cooldown, "cooldown")
    return Breaker(failures, window, cooldown, time.monotonic)


def _hedge(form: Any) -> Hedge | None:
    if isinstance(form, bool):
        return Hedge() if form else None
    return Hedge(share_of(form, "hedge"))


def _confidence(form: Any):
    if form is None or isinstance(form, str):
        return form
    if isinstance(form, Mapping) and "agreement" in form:
        check_keys(form, ("agreement", "temperature"), "confidence")
        return Agreement(form["agreement"], form.get("temperature", 1.0))
    if isinstance(form, Mapping) and "verifier" in form:
        check_keys(form, ("verifier", "prompt"), "confidence")
        more = {"prompt": form["prompt"]} if "prompt" in form else {}
        return Verifier(form["verifier"], **more)
    raise ValueError(
        f"confidence is {shown(form)}; give 'logprobs', {{agreement = 5}} or {{verifier = 'big'}}"
    )


def record_of(table: Any, folder: Path) -> dict[str, Any]:
    """The arguments of `TrafficLog` from its table."""
    if not isinstance(table, Mapping):
        raise ValueError(f"it is {shown(table)}; write a table with path")
    check_keys(table, RECORD, "it")
    path, prompts, variable = table.get("path"), table.get("prompts", False), table.get("key_env")
    if not isinstance(path, str) or not path.endswith(".jsonl"):
        raise ValueError(f"path is {shown(path)}; give a file such as 'traffic.jsonl'")
    if not isinstance(prompts, bool):
        raise ValueError(f"prompts is {shown(prompts)}; give true or false")
    return {"path": folder / path, "prompts": prompts, "key": _key_of(variable)}


def _key_of(variable: Any) -> str | None:
    """The key in an environment variable; None where no variable is named."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip() if isinstance(variable, str) else ""
    if not key:
        raise ValueError(f"key_env names {shown(variable, 40)}, which is not set: export it")
    return key


def policy_of(table: Mapping[str, Any], folder: Path) -> Served:
    """A policy from its table; `folder` holds the files that it names."""
    if ("kind" in table) == ("file" in table):
        raise ValueError("give either kind, the name of a policy, or file, a fitted one")
    for key in ("kind", "file"):
        if not isinstance(table.get(key, ""), str):
            raise ValueError(f"{key} is {shown(table[key])}; give a text")
    labels = table.get("labels", [])
    if not isinstance(labels, list):
        raise ValueError(f"labels is {shown(labels)}; give a list of all labels")
    if "file" in table:
        check_keys(table, POLICY, "a policy of a file")
        policy = load_policy(folder / table["file"])
    else:
        own = {key: value for key, value in table.items() if key not in POLICY[1:]}
        policy = policy_of_kind(own)
    return Served(policy, _features(table.get("features")), tuple(labels))


def _features(form: Any):
    if form is None:
        return None
    from ensemble_lab.models.questions import QuestionFeatures

    return QuestionFeatures.of(form)
