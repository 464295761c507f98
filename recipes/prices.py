"""Write `data/prices.json`: the list prices of the models of `mmlu-pro-29-llms`.

    python -m recipes.prices --raw DIR

Two price lists are read: FrugalGPT's (2024) and RouterArena's (2025). `LISTED` says under which
name a model is listed, and how sure it is that this is the model. A model that no list has, such as
the base models, has no price here: none is guessed from its size.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ensemble_lab.core.whole import write_whole
from recipes.build import DATA
from recipes.sources import list_prices

SOURCES = {
    "FrugalGPT": {
        "source": "https://github.com/stanford-futuredata/FrugalGPT",
        "file": "config/serviceinfo.json",
        "licence": "Apache-2.0",
        "recorded": "2024, exact day not given",
    },
    "RouterArena": {
        "source": "https://github.com/RouteWorks/RouterArena",
        "file": "model_cost/cost.json",
        "licence": "Apache-2.0",
        "recorded": "2025, exact day not given",
    },
}
MATCHES = {
    "name": "listed under this name",
    "quantised": "listed as the provider's 8-bit version of these weights",
    "alias": "listed under the name by which the provider offered this version in 2024",
    "no version": "listed without a version; the versions that are listed have the same price",
}
WAYS = ("input", "output")
# Model: list, its name there, how it was matched, who made it.
LISTED = {
    "gemini-1.5-pro-002": ("FrugalGPT", "google/gemini-1.5-pro", "alias", "Google"),
    "gemini-1.5-flash-002": ("FrugalGPT", "google/gemini-1.5-flash", "alias", "Google"),
    "Meta-Llama-3_1-70B-Instruct": (
        "RouterArena",
        "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo",
        "quantised",
        "Meta",
    ),
    "DeepSeek-Coder-V2": ("RouterArena", "deepseek-coder", "alias", "DeepSeek"),
    "jamba-1.5-large": ("FrugalGPT", "ai21/jamba-1.5-large", "name", "AI21"),
    "Meta-Llama-3_1-8B-Instruct": ("RouterArena", "llama-3-1-8b-instruct", "name", "Meta"),
    "Mixtral-8x7B-Instruct-v0.1": (
        "RouterArena",
        "mistralai/mixtral-8x7b-instruct",
        "name",
        "Mistral AI",
    ),
    "Mistral-7B-Instruct-v0.2": (
        "RouterArena",
        "mistralai/mistral-7b-instruct",
        "no version",
        "Mistral AI",
    ),
    "Mistral-7B-Instruct-v0.1": (
        "FrugalGPT",
        "togetherai/mistralai/Mistral-7B-Instruct-v0.1",
        "name",
        "Mistral AI",
    ),
}


def frugalgpt_prices(raw: Path) -> dict[str, tuple[float, float]]:
    """USD per million tokens read and written, by provider and name."""
    path = raw / "prices/frugalgpt_serviceinfo.json"
    if not path.is_file():
        raise FileNotFoundError(f"no raw file {str(path)!r}; --raw takes the folder that has it")
    return {
        f"{provider}/{name}": tuple(round(1e6 * price[f"cost_{way}"], 6) for way in WAYS)
        for provider, listed in json.loads(path.read_text()).items()
        for name, price in listed.items()
        if not price["cost_fixed"]
    }


def prices(raw: Path) -> dict:
    """The content of `data/prices.json`."""
    lists = {
        "FrugalGPT": frugalgpt_prices(raw),
        "RouterArena": {
            name: tuple(price[f"{way}_token_price_per_million"] for way in WAYS)
            for name, price in list_prices(raw).items()
        },
    }
    models = {}
    for model, (source, name, match, maker) in LISTED.items():
        if name not in lists[source]:
            raise ValueError(f"{source} lists no {name!r}, which {model!r} was matched with")
        read, written = lists[source][name]
        models[model] = {
            "input": float(read), "output": float(written), "maker": maker,
            "list": source, "listed_as": name, "match": match,
        }  # fmt: skip
    return {
        "unit": "USD per million tokens",
        "lists": SOURCES,
        "matches": MATCHES,
        "models": models,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="the folder of raw recordings")
    try:
        found = prices(parser.parse_args().raw)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
    write_whole(DATA / "prices.json", json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
