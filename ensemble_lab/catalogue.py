"""The content of `data/`: recorded outcomes by name, each with source, licence and caveats."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.outcomes import Outcomes

FIX = "reinstall ensemble-lab, or in a checkout run: git checkout -- data"


def data_folder() -> Path:
    """The folder of the tables: inside the installed package, or next to it in a checkout.

    Raises
    ------
    FileNotFoundError
        There is no catalogue in either place.
    """
    package = Path(__file__).resolve().parent
    places = (package / "data", package.parent / "data")
    for place in places:
        if (place / "catalogue.json").is_file():
            return place
    raise FileNotFoundError(f"no catalogue.json in {places[0]} or {places[1]}; {FIX}")


def _entries() -> dict[str, dict]:
    return json.loads((data_folder() / "catalogue.json").read_text(encoding="utf-8"))


def outcomes_catalogue():
    """The recorded outcomes: a data frame, one row a table, indexed by name.

    Returns
    -------
    pandas.DataFrame
        Columns ``title``, ``task``, ``items``, ``models`` (how many), ``known`` (fields other than
        correctness), ``recorded`` and ``licence``. `describe` has the rest.

    Examples
    --------
    >>> outcomes_catalogue().loc["audiomnist-services", ["items", "models"]].tolist()
    [30000, 4]
    """
    import pandas as pd

    always = ("models", "items", "correct", "labels")
    rows = {
        name: {
            "title": entry["title"],
            "task": entry["task"],
            "items": entry["items"],
            "models": len(entry["models"]),
            "known": ", ".join(field for field in entry["known"] if field not in always),
            "recorded": entry["recorded"],
            "licence": entry["licence"],
        }
        for name, entry in _entries().items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def describe(name: str) -> dict:
    """The catalogue's entry of one table: source, commit, licence, prices, caveats.

    ``questions`` is there where new questions can be placed in the table: the feature that is their
    length, and what their text holds (`QuestionFeatures`).

    Raises
    ------
    UnknownName
        No such table; the nearest names are given.

    Examples
    --------
    >>> describe("game-of-24")["licence"]
    'MIT'
    """
    entries = _entries()
    check_known(name, entries, "table", "catalogue of outcomes")
    return entries[name]


def load_outcomes(name: str) -> Outcomes:
    """The recorded outcomes of that name, checked against the catalogue.

    Raises
    ------
    UnknownName
        No such table; the nearest names are given.
    FileNotFoundError, ValueError
        The table's file is missing or damaged.

    Examples
    --------
    >>> load_outcomes("gsm8k-openai-2021")
    Outcomes(1319 items x 4 models; models, items, correct)
    """
    entry = describe(name)
    return Outcomes.read(_whole(data_folder() / "outcomes" / f"{name}.parquet", entry))


def load_texts(name: str = "smollm2-tasks"):
    """Texts that a model wrote, recorded once: a data frame, checked against its entry.

    Parameters
    ----------
    name : str
        ``"smollm2-tasks"``: tasks and answers. ``"smollm2-committee"``: what the members of
        committees said about sums and products; `Transcript.from_frame` replays rows of it.

    Returns
    -------
    pandas.DataFrame
        Columns ``task``, ``answer`` and ``ended`` (whether the answer ended by itself), or those of
        a transcript with ``committee`` and ``truth``. Its ``attrs`` have what each column holds,
        the source, the licence, the settings and the caveats.

    Raises
    ------
    UnknownName
        No such texts.
    FileNotFoundError, ValueError
        The file is missing or damaged.

    Examples
    --------
    >>> load_texts().attrs["licence"]
    'Apache-2.0'
    """
    return recorded("texts", name, "texts")


def load_trace(name: str):
    """The requests that real users sent to a service in one hour: a data frame, one row a request.

    Returns
    -------
    pandas.DataFrame
        Columns ``arrival_s`` (seconds since the first request, in order), ``prompt_tokens`` and
        ``output_tokens``; of ``"mooncake-conversation"`` also ``prefix_blocks``, the ids of the
        prompt's blocks of 512 tokens. Its ``attrs`` have the source, the licence and the caveats.

    Raises
    ------
    UnknownName
        No such trace: there are ``"azure-code"``, ``"azure-conversation"`` and
        ``"mooncake-conversation"``.
    FileNotFoundError, ValueError
        The file is missing or damaged.

    Examples
    --------
    >>> len(load_trace("azure-conversation"))
    19366
    """
    return recorded("traces", name, "trace")


def load_curves(name: str = "vllm-h100"):
    """Load curves of a real engine: a data frame, one row a configuration and offered rate.

    Returns
    -------
    pandas.DataFrame
        Column ``configuration`` has the engine's six configurations, ``requested_rate`` the offered
        requests a second and ``served_rate`` those served; latencies are in seconds. Its ``attrs``
        say what each column holds, and have the source, the licence and the caveats.

    Raises
    ------
    UnknownName
        No such curves.
    FileNotFoundError, ValueError
        The file is missing or damaged.

    Examples
    --------
    >>> load_curves().groupby("configuration").served_rate.max()[["plain", "eagle"]].tolist()
    [103.078, 68.0547]
    """
    return recorded("curves", name, "curves")


def recorded(folder: str, name: str, what: str):
    """A table of `data/<folder>/`, checked against the entry beside it, which becomes its attrs."""
    import pandas as pd

    place = data_folder() / folder
    check_known(name, [path.stem for path in place.glob("*.json")], what, f"folder of {folder}")
    entry = json.loads((place / f"{name}.json").read_text(encoding="utf-8"))
    frame = pd.read_parquet(_whole(place / f"{name}.parquet", entry))
    frame.attrs.update(entry)
    return frame


def _whole(path: Path, entry: dict) -> Path:
    """The path of a table whose bytes are those that its entry says."""
    if not path.is_file():
        raise FileNotFoundError(
            f"the table {shown(path.stem)} has no file {shown(str(path), 200)}; {FIX}"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != entry["sha256"]:
        raise ValueError(
            f"{shown(str(path), 200)} is damaged: its sha256 is {found[:12]}…, the catalogue has"
            f" {entry['sha256'][:12]}…; {FIX}"
        )
    return path
