"""The gateway's settings: a TOML file of models and policies, and the server that runs them."""

from __future__ import annotations

import errno
import os
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_lab.core.errors import nearest, shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.endpoints.address import Address, is_loopback
from ensemble_lab.models.endpoints.keys import VARIABLE as OPENAI_KEY
from ensemble_lab.models.endpoints.keys import checked
from ensemble_lab.systems.serve.deciding import Served
from ensemble_lab.systems.serve.members import Agreement, Member, Verifier

HOST, PORT, TIMEOUT = "127.0.0.1", 8000, 120.0
TOP = ("host", "port", "timeout", "models", "policies")
MODEL = ("url", "model", "key_env", "load", "parse", "confidence", "price", "served_as", "timeout")
POLICY = ("kind", "file", "features", "labels")


class SettingsError(ValueError):
    """A settings file that cannot be served: the place in the file, and the fix."""


@dataclass(frozen=True)
class Settings:
    """What a file says.

    Parameters
    ----------
    models : mapping of name to Member
    policies : mapping of name to Served
    host : str
    port : int
    timeout : float
        Seconds of one request.
    """

    models: Mapping[str, Member]
    policies: Mapping[str, Served] = field(default_factory=dict)
    host: str = HOST
    port: int = PORT
    timeout: float = TIMEOUT


def read_settings(path: str | Path) -> Settings:
    """Read a settings file.

    A model is a table ``[models.NAME]`` with ``url`` and ``model`` for an endpoint or ``load`` for
    a local model, and with ``parse``, ``confidence``, ``price``, ``served_as``, ``timeout`` and
    ``key_env``, the name of the environment variable with its key. A policy is a table
    ``[policies.NAME]`` with ``kind``, the name of a policy of this package, and its settings; or
    with ``file``, a fitted policy; and with ``features = "question"`` and ``labels``.

    Raises
    ------
    SettingsError
        The place in the file, and the fix.
    """
    path = Path(path)
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"no file {shown(str(path), 200)}; give the path of a TOML file"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # A table twice, as of two models of one name, is such an error, with its line.
        raise SettingsError(f"{shown(str(path), 200)} is not TOML: {error}") from None
    return settings_of(found, path.parent)


def settings_of(found: Mapping[str, Any], folder: Path = Path()) -> Settings:
    """Settings from the parsed file; see `read_settings`."""
    _check_keys(found, TOP, "the file")
    host, port = found.get("host", HOST), found.get("port", PORT)
    timeout = found.get("timeout", TIMEOUT)
    if not isinstance(host, str) or not host:
        raise SettingsError(f"host is {shown(host)}; give a name such as {shown(HOST)}")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port < 65536:
        raise SettingsError(f"port is {shown(port)}; give a whole number from 0 to 65535")
    _check_seconds(timeout, "timeout")
    tables = {what: _tables(found, what) for what in ("models", "policies")}
    if not tables["models"]:
        raise SettingsError("there is no model; add a table such as [models.small]")
    for name in tables["policies"]:
        if name in tables["models"]:
            raise SettingsError(f"[policies.{name}] and [models.{name}] share a name; rename one")
    models = {
        name: _placed(f"[models.{name}]", _member, table, (host, port))
        for name, table in tables["models"].items()
    }
    policies = {
        name: _placed(f"[policies.{name}]", _policy, table, folder)
        for name, table in tables["policies"].items()
    }
    for name, served in policies.items():
        try:
            served.check(models, name)
        except ValueError as error:
            raise SettingsError(f"[policies.{name}]: {error}") from None
    return Settings(models, policies, host, port, float(timeout))


def _tables(found: Mapping[str, Any], what: str) -> dict[str, Mapping]:
    tables = found.get(what, {})
    named = isinstance(tables, Mapping) and all(isinstance(t, Mapping) for t in tables.values())
    if not named:
        raise SettingsError(f"{what} is {shown(tables)}; write a table each: [{what}.NAME]")
    return dict(tables)


def _placed(where: str, make, *given):
    """What `make` makes; its errors name the place in the file."""
    try:
        return make(*given)
    except (ValueError, TypeError, LookupError, RuntimeError, OSError, ImportError) as error:
        raise SettingsError(f"{where}: {error}") from None


def _check_keys(table: Mapping, known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise SettingsError(f"{where} has no setting {shown(key, 40)}{nearest(key, known)}")


def _check_seconds(value, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise SettingsError(f"{what} is {shown(value)}; give seconds above 0")


def _member(table: Mapping[str, Any], own: tuple[str, int]) -> Member:
    _check_keys(table, MODEL, "a model")
    if ("url" in table) == ("load" in table):
        raise ValueError("give either url, of an endpoint, or load, of a model here")
    source = _loaded(table) if "load" in table else _endpoint(table, own)
    price = table.get("price")
    return Member(
        source,
        parse=table.get("parse"),
        confidence=_confidence(table.get("confidence")),
        price=None if price is None else tuple(price),
        served_as=table.get("served_as"),
    )


def _loaded(table: Mapping[str, Any]):
    from ensemble_lab.models.load import load

    for key in ("model", "key_env", "served_as", "timeout"):
        if key in table:
            raise ValueError(f"{key} is for an endpoint; leave it out, or give url")
    return load(table["load"])


def _endpoint(table: Mapping[str, Any], own: tuple[str, int]):
    from ensemble_lab.systems.serve.upstream import Upstream

    address, model = Address.of(table["url"]), table.get("model")
    if not isinstance(model, str) or not model:
        raise ValueError(f"model is {shown(model)}; give the model's name on that server")
    if _is_own(address, own):
        raise ValueError(
            f"url {shown(address.plain)} is the gateway itself, which would ask itself without end;"
            " give another address, or another port for the gateway"
        )
    timeout = table.get("timeout", 60.0)
    _check_seconds(timeout, "timeout")
    variable = table.get("key_env")
    key = os.environ.get(variable or OPENAI_KEY, "").strip()
    if variable and not key:
        raise ValueError(f"key_env names {shown(variable, 40)}, which is not set: export it")
    if not variable and not address.safe:
        key = ""  # over plain http others can read it: sent only where it is named
    key = checked(key, variable or OPENAI_KEY) if key else None
    return Upstream(model, address.plain, key, budget=None, timeout=float(timeout))


def _is_own(address: Address, own: tuple[str, int]) -> bool:
    host, port = own
    rest = address.plain.partition("://")[2].partition("/")[0]
    said = rest.rpartition(":")[2]
    at = int(said) if said.isdigit() else 443 if address.plain.startswith("https") else 80
    # A gateway on all addresses is reached by each name of this machine.
    everywhere = host in ("0.0.0.0", "::")
    same = address.host == host or (address.here and (is_loopback(host) or everywhere))
    return at == port and (same or (everywhere and address.host == socket.gethostname()))


def _confidence(form: Any):
    if form is None or isinstance(form, str):
        return form
    if isinstance(form, Mapping) and "agreement" in form:
        _check_keys(form, ("agreement", "temperature"), "confidence")
        return Agreement(form["agreement"], form.get("temperature", 1.0))
    if isinstance(form, Mapping) and "verifier" in form:
        _check_keys(form, ("verifier", "prompt"), "confidence")
        more = {"prompt": form["prompt"]} if "prompt" in form else {}
        return Verifier(form["verifier"], **more)
    raise ValueError(
        f"confidence is {shown(form)}; give 'logprobs', {{agreement = 5}} or {{verifier = 'big'}}"
    )


def _policy(table: Mapping[str, Any], folder: Path) -> Served:
    import ensemble_lab as lab
    from ensemble_lab.core.policy import Policy

    if ("kind" in table) == ("file" in table):
        raise ValueError("give either kind, the name of a policy, or file, a fitted one")
    if "file" in table:
        _check_keys(table, POLICY, "a policy of a file")
        policy = lab.load_policy(folder / table["file"])
    else:
        kinds = {
            name: made
            for name in lab.__all__
            if isinstance(made := getattr(lab, name), type) and issubclass(made, Policy)
        }
        kind = table["kind"]
        if kind not in kinds:
            raise ValueError(f"no policy {shown(kind, 40)}{nearest(kind, kinds)}")
        own = {key: value for key, value in table.items() if key not in POLICY}
        known = tuple(kinds[kind].__dataclass_fields__)
        _check_keys(own, known, kind)
        policy = kinds[kind](**{key: _frozen(value) for key, value in own.items()})
    return Served(policy, _features(table.get("features")), tuple(table.get("labels", ())))


def _features(form: Any):
    if form is None:
        return None
    if form == "question":
        from ensemble_lab.models.questions import QuestionFeatures

        return QuestionFeatures()
    raise ValueError(f"features is {shown(form)}; give 'question', or leave it out")


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def serve(path: str | Path, port: int | None = None) -> None:
    """Serve a settings file until it is stopped: one process, no other service.

    Raises
    ------
    SettingsError
        The file, or an address that is in use or not of this machine.
    """
    require("ensemble-lab serve", "fastapi", "uvicorn", "aiohttp", "prometheus_client")
    import uvicorn

    from ensemble_lab.systems.serve.app import app

    settings = read_settings(path)
    port = settings.port if port is None else port
    made = app(settings.policies, settings.models, timeout=settings.timeout)
    try:
        listening = socket.create_server((settings.host, port))
    except OSError as error:
        why = (
            "is in use: stop what uses it" if error.errno == errno.EADDRINUSE else "cannot be used"
        )
        raise SettingsError(
            f"port {port} of {settings.host} {why}, or give another by --port"
        ) from None
    with listening:
        names = ", ".join([*settings.policies, *settings.models])
        address = f"http://{settings.host}:{listening.getsockname()[1]}/v1"
        print(f"serving {names} at {address}", flush=True)
        config = uvicorn.Config(made, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run([listening])
