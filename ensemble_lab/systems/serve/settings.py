"""The gateway's settings: a TOML file of models and policies, and the server that runs them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.systems.serve.checks import check_keys, check_name, check_seconds, share_of
from ensemble_lab.systems.serve.confidence import check_verifiers
from ensemble_lab.systems.serve.deciding import Served
from ensemble_lab.systems.serve.listening import listening
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.recording import TrafficLog
from ensemble_lab.systems.serve.resilience import Budget
from ensemble_lab.systems.serve.tables import member_of, policy_of, record_of

HOST, PORT, TIMEOUT, RETRIES = "127.0.0.1", 8000, 120.0, 0.1
FIRST = 2  # retries before any call has paid for one: as many as the first call could use
TOP = ("host", "port", "timeout", "retries", "models", "policies", "record")


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
    record : mapping
        Arguments of `TrafficLog`; empty: nothing is recorded.
    """

    models: Mapping[str, Member]
    policies: Mapping[str, Served] = field(default_factory=dict)
    host: str = HOST
    port: int = PORT
    timeout: float = TIMEOUT
    record: Mapping[str, Any] = field(default_factory=dict)


def read_settings(path: str | Path, port: int | None = None) -> Settings:
    """Read a settings file: what `ensemble-lab serve` serves.

    The file may have ``host``, ``port``, ``timeout`` (seconds of a request) and ``retries``: all
    retries together are at most this share of all calls, 0.1 unless said otherwise, and two at the
    start, so that a first call that fails is tried again.

    A model is a table ``[models.NAME]`` with ``load`` for a local model, or with ``url`` and
    ``model`` for an endpoint. Both may have ``parse`` (where the answer in the text is),
    ``confidence`` and ``price``; see `Member`. An endpoint may also have

    - ``key_env``: the environment variable with its key,
    - ``served_as``: the name with which it answers, where that is another,
    - ``timeout``: seconds of one try,
    - ``hedge``: true, or the share of the calls for which a slow one gets a second,
    - ``breaker``: such as ``{failures = 5, window = 10, cooldown = 5}``: after so many failures in
      so many seconds it is left alone for so many.

    A policy is a table ``[policies.NAME]`` with ``kind``, the name of a policy of this package, and
    its settings; or with ``file``, a fitted policy of `ensemble_lab.save_policy`, beside the
    settings. Both may have ``features``, a table of the catalogue in whose terms questions are
    described (`ensemble_lab.QuestionFeatures`), and ``labels``.

    A table ``[record]`` with ``path``, such as ``"traffic.jsonl"`` beside the settings, records
    every request in a `TrafficLog`; with ``prompts = true`` the messages and texts too. Its
    ``key_env`` names the environment variable with the key of the hashes.

    Parameters
    ----------
    path : path of a TOML file
    port : int, optional
        Instead of the file's.

    Raises
    ------
    SettingsError
        The place in the file, and the fix.

    Examples
    --------
    Two models of this package, which need no network::

        [models.small]
        load = "tiny-draft"
        confidence = "logprobs"

        [models.big]
        load = "tiny"

        [policies.cascade]
        kind = "Cascade"
        order = ["small", "big"]
        thresholds = [0.5]

    ``ensemble-lab serve gateway.toml`` serves it, and a client asks it::

        openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
    """
    if not isinstance(path, str | Path):
        raise SettingsError(f"the settings are {shown(path)}; give the path of a TOML file")
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
    if port is not None:
        found["port"] = port
    return settings_of(found, path.parent)


def settings_of(found: Mapping[str, Any], folder: Path = Path()) -> Settings:
    """Settings from the parsed file; see `read_settings`."""
    _placed("the file", check_keys, found, TOP, "it")
    host, port = found.get("host", HOST), found.get("port", PORT)
    timeout = found.get("timeout", TIMEOUT)
    if not isinstance(host, str) or not host:
        raise SettingsError(f"host is {shown(host)}; give a name such as {shown(HOST)}")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port < 65536:
        raise SettingsError(f"port is {shown(port)}; give a whole number from 0 to 65535")
    _placed("the file", check_seconds, timeout, "timeout")
    share = _placed("the file", share_of, found.get("retries", RETRIES), "retries")
    budget = Budget(share, first=FIRST)
    tables = {what: _tables(found, what) for what in ("models", "policies")}
    policies = {
        name: _placed(f"[policies.{name}]", policy_of, table, folder)
        for name, table in tables["policies"].items()
    }
    if not tables["models"]:
        raise SettingsError("there is no model; add a table such as [models.small]")
    for name in tables["policies"]:
        if name in tables["models"]:
            raise SettingsError(f"[policies.{name}] and [models.{name}] share a name; rename one")
    models = {
        name: _placed(f"[models.{name}]", member_of, table, (host, port), budget)
        for name, table in tables["models"].items()
    }
    _placed("the models", check_verifiers, models)
    for name, served in policies.items():
        try:
            served.check(models, name)
        except ValueError as error:
            raise SettingsError(f"[policies.{name}]: {error}") from None
    record = _placed("[record]", record_of, found["record"], folder) if "record" in found else {}
    return Settings(models, policies, host, port, float(timeout), record)


def _tables(found: Mapping[str, Any], what: str) -> dict[str, Mapping]:
    tables = found.get(what, {})
    named = isinstance(tables, Mapping) and all(isinstance(t, Mapping) for t in tables.values())
    if not named:
        raise SettingsError(f"{what} is {shown(tables)}; write a table each: [{what}.NAME]")
    for name in tables:
        _placed(f"[{what}]", check_name, name)
    return dict(tables)


def _placed(where: str, make, *given):
    """What `make` makes; its errors name the place in the file."""
    try:
        return make(*given)
    except (ValueError, TypeError, LookupError, RuntimeError, OSError, ImportError) as error:
        raise SettingsError(f"{where}: {error}") from None


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

    settings = read_settings(path, port)
    try:
        taken = listening(settings.host, settings.port)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    with taken:
        # Opened after the port: a gateway that is started twice is told about the port.
        opening = partial(TrafficLog, **settings.record)
        log = _placed("[record]", opening) if settings.record else None
        made = app(settings.policies, settings.models, timeout=settings.timeout, recorder=log)
        names = ", ".join([*settings.policies, *settings.models])
        place = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{place}:{taken.getsockname()[1]}/v1"
        print(f"serving {names} at {address}", flush=True)
        config = uvicorn.Config(made, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run([taken])
