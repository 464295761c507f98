"""Write `docs/families.md`: every family, its papers of the survey, and where each of them runs.

    python -m recipes.write_families

The papers are those of `docs/bibliography.csv`. `docs/families.csv` is written by hand: one row a
paper with its family, whether it is runnable or only mapped, the public names and the notebook, and
a few words of what is missing. Nothing is written while the two do not agree with each other, with
the package and with the notebooks; the command then says where.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import ensemble_lab as lab
from ensemble_lab.core.whole import write_whole
from recipes.bibliography import WRITTEN as BIBLIOGRAPHY
from recipes.bibliography import family_name

ROOT = Path(__file__).resolve().parents[1]
PLACES, WRITTEN = ROOT / "docs/families.csv", ROOT / "docs/families.md"
NOTEBOOKS = ROOT / "notebooks"
LEVELS = {
    "answers": "Whole answers are combined, or one model is chosen to answer.",
    "tokens": "Models share one generation, token by token.",
    "training": "Models meet while they learn.",
    "systems": "Models meet across machines.",
}


class Family(NamedTuple):
    """A family: where its models meet, public names to begin with, and its notebook.

    One that is not built yet has no names. A notebook that is not written yet is its number.
    """

    name: str
    level: str
    names: str
    notebook: str


FAMILIES = [
    Family("voting", "answers", "MajorityVote WeightedVote condorcet", "01_voting"),
    Family("cascades", "answers", "Cascade AgreementCascade BudgetCascade", "02_cascades"),
    Family("big-little", "answers", "Cascade LearnedSelector", "02_cascades"),
    Family("model selection", "answers", "frontier BudgetRouter Router", "03_routing"),
    Family("routing", "answers", "QualityRouter NeighbourRouter GapRouter", "03_routing"),
    Family(
        "bandits",
        "answers",
        "UCB1 Thompson LinUCB BudgetBandit CombinatorialBandit",
        "04_routing_while_the_world_moves",
    ),
    Family("committees", "answers", "AdaptiveConsistency MixtureOfAgents", "17_committees"),
    Family("speculative decoding", "tokens", "decode speculative", "05_speculative_decoding"),
    Family(
        "big-little decoding", "tokens", "big_little defer_tokens", "07_models_that_decode_together"
    ),
    Family(
        "contrastive and ensemble decoding",
        "tokens",
        "CombinedModel ContrastiveDecoding DoLa",
        "07_models_that_decode_together",
    ),
    Family("bagging", "training", "BaggingClassifier BaggingRegressor", "08_bagging"),
    Family("boosting", "training", "AdaBoostClassifier GradientBoostingClassifier", "09_boosting"),
    Family("stacking", "training", "StackingClassifier StackedAnswers", "10_stacking"),
    Family(
        "negative correlation",
        "training",
        "NegativeCorrelationRegressor",
        "10b_negative_correlation",
    ),
    Family("distillation", "training", "DistilledClassifier distil", "11_distillation"),
    Family(
        "training on another model's output",
        "training",
        "filter_pairs token_chains",
        "12_another_models_output",
    ),
    Family("GAN", "training", "GAN WassersteinGAN", "13_adversarial_pairs"),
    Family(
        "dual transformers",
        "training",
        "DualEncoder MixtureOfTransformers lesion",
        "14_dual_transformers",
    ),
    Family("submodels", "training", "EarlyExit NestedNetwork", "15_many_models_in_one"),
    Family("mixture of experts", "training", "MixtureOfExperts", "16_mixture_of_experts"),
    Family("split and distributed inference", "systems", "split best_cut", "18_split_inference"),
    Family("serving several models", "systems", "compare_rules simulate", "19_which_model_where"),
]


def rows_of(path):
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def faults(papers, places, families=FAMILIES, notebooks=NOTEBOOKS):
    """What is wrong, a sentence each: nothing is written before this list is empty."""
    found = []
    listed, placed = (Counter(row["key"] for row in rows) for rows in (papers, places))
    found += [f"{key}: this paper has no row in families.csv" for key in listed - placed]
    found += [f"{key}: a row without a paper, or its second row" for key in placed - listed]
    found += [f"{key}: two papers have this key" for key, n in listed.items() if n > 1]
    known = {family.name for family in families}
    for row in places:
        key, names, note = row["key"], row["names"].split(), row["note"]
        if row["family"] not in known:
            found.append(f"{key}: no family is called {row['family']!r}")
        if row["status"] != ("runnable" if names else "mapped"):
            found.append(f"{key}: runnable needs a public name, and mapped has none")
        if row["status"] == "mapped" and not note:
            found.append(f"{key}: say why it is only mapped")
        if row["status"] == "mapped" and row["notebook"]:
            found.append(f"{key}: a notebook is named, but nothing that runs in it")
        mentioned = re.findall(r"`lab\.([\w.]+)`", note)
        found += wrong_places(key, names, row["notebook"], notebooks, mentioned)
        for number in re.findall(r"notebooks? (\d\d)", note) if "not built yet" in note else ():
            found += came(key, number, notebooks)
    for family in families:
        notebook = "" if family.notebook.isdigit() else family.notebook
        found += wrong_places(family.name, family.names.split(), notebook, notebooks)
        found += came(family.name, family.notebook, notebooks)
    return found


def wrong_places(of, names, notebook, notebooks, mentioned=()):
    """Names that the package lacks, and a notebook that is absent or uses none of the names."""
    found = [f"{of}: ensemble_lab has no {n!r}" for n in (*names, *mentioned) if not public(n)]
    path = notebooks / f"{notebook}.ipynb"
    if notebook and not path.exists():
        found.append(f"{of}: there is no notebook {notebook!r}")
    elif notebook:
        text = path.read_text(encoding="utf-8")
        if not any(re.search(rf"\b{n.split('.')[-1]}\b", text) for n in names):
            found.append(f"{of}: notebook {notebook!r} uses none of {', '.join(names)}")
    return found


def came(of, number, notebooks):
    """A notebook that was awaited by its number and is there now."""
    if number.isdigit() and any(notebooks.glob(f"{number}_*.ipynb")):
        return [f"{of}: notebook {number} is there now; say what runs"]
    return []


def public(name):
    """Whether `lab` has the name, as in `metrics.aiq`."""
    try:
        reduce(getattr, name.split("."), lab)
    except AttributeError:
        return False
    return True


def cited(paper):
    """A paper as the page names it: author, year and title with its first link."""
    authors = paper["authors"]
    several = re.search(r"[,;&]| and | et al", re.sub(r"^(\w+), \w+( \w)?$", r"\1", authors))
    name = family_name(authors) + (" et al." if several else "")
    title = paper["title"].replace("|", r"\|")
    link = paper["urls"].split()[0]
    return f"{name} ({paper['year'] or 'no year'}), [{title}]({link})"


def linked(notebook):
    """A link to a notebook by its number."""
    return f"[{notebook.split('_')[0]}](../notebooks/{notebook}.ipynb)" if notebook else ""


def code(names):
    """Names separated by spaces, as the page shows them."""
    return ", ".join(f"`lab.{name}`" for name in names.split())


def heading(name):
    """A name with a large first letter."""
    return name[0].upper() + name[1:]


def section(family, rows, papers):
    """A family: where it runs, then its papers, the runnable ones first."""
    start = f"Begin with {code(family.names)} in notebook {linked(family.notebook)}."
    if family.notebook.isdigit():
        built = f"Begin with {code(family.names)}." if family.names else "Not built yet."
        start = f"{built} Notebook {family.notebook} is not written yet."
    lines = [f"### {heading(family.name)}", "", start, ""]
    if not rows:
        return [*lines, "The survey lists no paper of this family.", ""]
    lines += ["| paper | runs here as | notebook | what is missing, or why |", "|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: row["status"] == "mapped"):
        cells = (cited(papers[row["key"]]), code(row["names"]) or "mapped only")
        lines.append(f"| {' | '.join((*cells, linked(row['notebook']), row['note']))} |")
    return [*lines, ""]


def written(papers, places):
    """The page."""
    by_key = {paper["key"]: paper for paper in papers}
    runs = sum(row["status"] == "runnable" for row in places)
    lines = [
        "# Every family, and where it runs",
        "",
        "<!-- written by `python -m recipes.write_families`; change docs/families.csv instead -->",
        "",
        f"The survey that this project follows lists {len(papers)} papers, articles and products"
        f" ([bibliography.csv](bibliography.csv)). Each has one place here. {runs} are *runnable*:"
        " the method, or the part that the last column does not exclude, is a public name."
        f" {len(papers) - runs} are *mapped only*: the last column says why. `lab` is"
        " `import ensemble_lab as lab`.",
        "",
        "| level | family | runnable | mapped only |",
        "|---|---|--:|--:|",
    ]
    of = {f.name: [row for row in places if row["family"] == f.name] for f in FAMILIES}
    for family in FAMILIES:
        count = Counter(row["status"] for row in of[family.name])
        anchor = re.sub(r"[^a-z -]", "", family.name.lower()).replace(" ", "-")
        cells = (family.level, f"[{family.name}](#{anchor})", count["runnable"], count["mapped"])
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for level, meaning in LEVELS.items():
        lines += ["", f"## {heading(level)}", "", meaning, ""]
        for family in FAMILIES:
            if family.level == level:
                lines += section(family, of[family.name], by_key)
        lines.pop()
    return "\n".join(lines) + "\n"


def main():
    """Write the page, or say what is wrong."""
    papers, places = rows_of(BIBLIOGRAPHY), rows_of(PLACES)
    if found := faults(papers, places):
        raise SystemExit("\n".join(found))
    write_whole(WRITTEN, written(papers, places))


if __name__ == "__main__":
    main()
