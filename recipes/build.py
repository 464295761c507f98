"""Turn folders of raw recordings into `data/outcomes/*.parquet` and `data/catalogue.json`.

    python -m recipes.build --raw DIR

`sources.py` makes the tables, `about.toml` has the words of the catalogue (titles, licences,
caveats); figures and checksums come from the tables themselves. `data/questions/*.safetensors` are
the projections that place a new question in a table. `traces.py` writes the recorded loads. A
second run writes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import tomllib
from pathlib import Path

from safetensors.numpy import save
from tqdm import tqdm

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.models.sentences import TOKENS
from recipes import traces
from recipes.embedding import projection
from recipes.sources import BUILDERS, QUESTIONS, questions

DATA = Path(__file__).resolve().parents[1] / "data"
LIMIT = 8_000_000  # bytes, all tables together


def entry(name: str, about: dict, outcomes: Outcomes, path: Path) -> dict:
    """One table's part of the catalogue: words from `about.toml`, figures from the table."""
    words = about["tables"][name]
    shared = about["sources"][words["source"]]
    content = path.read_bytes()
    return {
        "name": name,
        "title": words["title"],
        "task": words["task"],
        "items": len(outcomes),
        "models": list(outcomes.models),
        "known": list(outcomes.known),
        **{key: shared.get(key) for key in ("source", "commit", "licence", "attribution")},
        "recorded": words.get("recorded", shared.get("recorded")),
        "prices": words.get("prices", shared.get("prices")),
        "caveats": shared.get("caveats", []) + words.get("caveats", []),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def place_questions(name: str, words: dict, raw: Path, part: Path) -> dict:
    """Write the projection of a table's questions; what the catalogue says of them."""
    rows = projection(questions(raw, name)["text"])
    content = save({"projection": rows})
    (part / f"{name}.safetensors").write_bytes(content)
    return {
        **words["questions"],
        "dimensions": len(rows) - 1,
        "tokens": TOKENS,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def build(raw: Path, out: Path = DATA) -> dict:
    """Write every table and the catalogue; return the catalogue."""
    if not raw.is_dir():
        raise FileNotFoundError(f"no raw folder {str(raw)!r}; pass --raw DIR")
    about = tomllib.loads((DATA / "about.toml").read_text(encoding="utf-8"))
    for folder in ("outcomes", "questions"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    catalogue = {}
    # An interrupted build changes nothing: files are moved once all of them are there.
    with tempfile.TemporaryDirectory(dir=out, prefix=".build-") as part:
        for name, builder in tqdm(BUILDERS.items(), "tables"):
            outcomes = builder(raw)
            path = outcomes.to_parquet(Path(part) / f"{name}.parquet")
            catalogue[name] = entry(name, about, outcomes, path)
            if name in QUESTIONS:
                words = about["tables"][name]
                catalogue[name]["questions"] = place_questions(name, words, raw, Path(part))
            tqdm.write(f"{name}: {outcomes!r}, {catalogue[name]['bytes']:,} bytes")
        total = sum(words["bytes"] for words in catalogue.values())
        if total > LIMIT:
            raise ValueError(f"the tables take {total:,} bytes, the limit is {LIMIT:,}")
        for folder, kind in (("outcomes", "parquet"), ("questions", "safetensors")):
            for path in sorted(Path(part).glob(f"*.{kind}")):
                os.replace(path, out / folder / path.name)
    text = json.dumps(catalogue, indent=1, ensure_ascii=False) + "\n"
    (out / "catalogue.json").write_text(text, encoding="utf-8")
    return catalogue


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="the folder of raw recordings")
    try:
        raw = parser.parse_args().raw
        build(raw)
        traces.build(raw)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
