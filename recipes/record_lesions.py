"""Record SmolLM2's losses without one and without two of its blocks: `data/lesions/smollm2.json`.

    python -m recipes.record_lesions

Five minutes on two cores. Interrupted, it goes on with the next block when it is started again. On
another processor the last digits may differ.
"""

from __future__ import annotations

import json
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ensemble_lab.core.whole import write_whole
from ensemble_lab.doctor import cpu_model
from ensemble_lab.models.load import load
from ensemble_lab.training.dual.lesions import Reading, lesion

FILE = Path(__file__).resolve().parents[1] / "data/lesions/smollm2.json"
DIGITS = 4  # of a loss in nats a token
TEXT = """\
A lighthouse is a tower with a bright lamp at its top. For many centuries it told sailors where \
the coast was, and which rocks they had to avoid at night. The first towers burned wood or coal, \
and their light was weak in rain and fog. Later keepers used oil lamps, and in 1822 a French \
engineer, Augustin Fresnel, made a new kind of lens. It was built from many thin rings of glass, \
and it bent almost all of the light into one narrow beam. A ship could now see the lamp from \
more than thirty kilometres away. Each lighthouse was given its own pattern of flashes, so that \
a captain who counted the seconds between two flashes knew which tower stood in front of him. \
The keeper and his family lived beside the tower, often on a small island without a tree. They \
cleaned the glass every morning, wound the clockwork that turned the lens, and wrote the weather \
into a book. In the twentieth century electric motors and automatic lamps took over this work, \
and the last keepers went home. Today most ships find their way with signals from satellites, \
but many lighthouses are still in use. When the electronics fail, a light on the shore is a \
simple and honest guide. Other towers have become museums or hotels, and visitors climb the \
stairs to look at the sea."""


def losses_of(reading: Reading, file: Path) -> np.ndarray:
    """The losses (L, L) of all pairs; rows that the file has are not measured again."""
    found = np.full((reading.depth, reading.depth), np.nan)
    if file.exists():
        found[:] = json.loads(file.read_text(encoding="utf-8"))["losses"]
    for i in tqdm(range(reading.depth), desc="blocks"):
        if np.isnan(found[i]).any():
            found[i, i] = round(reading.loss(i), DIGITS)
            with lesion(reading.network, i):  # read once up to each second block
                rest = Reading(reading.network, reading.ids)
                for j in range(i + 1, reading.depth):
                    found[i, j] = found[j, i] = round(rest.loss(j - 1), DIGITS)
            file.parent.mkdir(exist_ok=True)
            write_whole(file, json.dumps({"losses": found.tolist()}))
    return found


def main() -> None:
    """Measure all pairs and write the file."""
    model = load("smollm2", dtype="float32")
    reading, part = Reading(model, TEXT), FILE.with_suffix(".part")
    told = {
        "title": "Losses of SmolLM2 without one and without two of its blocks, in nats a token",
        "command": "python -m recipes.record_lesions",
        "recorded": date.today().isoformat(),
        "device": cpu_model(),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "weights": model.weights,
        "source": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "licence": "Apache-2.0; the text is this project's",
        "text": TEXT,
        "tokens": reading.ids.shape[1],
        "whole": round(reading.loss(), DIGITS),
        "losses": losses_of(reading, part).tolist(),
    }
    write_whole(FILE, json.dumps(told, indent=1).replace(",\n   ", ", ") + "\n")
    part.unlink()


if __name__ == "__main__":
    main()
