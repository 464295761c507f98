"""One small function a source: it reads raw CSV files and returns an `Outcomes`.

Numbers and labels only: question texts are read to derive sentence embeddings and are not kept.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED
from recipes.embedding import embedding

CHARS_PER_TOKEN = 4  # of English text, where only the characters were recorded
LETTERS = "ABCDEFGHIJ"
NETWORKS = {"vgg19": "VGG-19", "googlenet": "GoogLeNet", "resnet152": "ResNet-152"}
METHODS = {"direct": "direct", "chain_of_thought": "cot", "tree_of_thoughts": "tot"}
EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
QUESTIONS = {  # table: its file of texts and the column there
    "gsm8k-44-llms": ("gsm8k_44_llms", "question"),
    "mmlu-pro-29-llms": ("mmlu_pro", "question"),
    "routellm-mmlu": ("routellm_mmlu", "prompt"),
    "routellm-gsm8k": ("routellm_gsm8k", "prompt"),
}
PRICED = {"mixtral-8x7b": "mistralai/mixtral-8x7b-instruct", "gpt-4-1106": "gpt-4-1106-preview"}


# -- reading ----------------------------------------------------------------------------------


def table(raw: Path, file: str, **options) -> pd.DataFrame:
    """One raw CSV file of the folder `raw`; a missing one is named."""
    path = raw / file
    if not path.is_file():
        raise FileNotFoundError(f"no raw file {str(path)!r}; --raw takes the folder that has it")
    return pd.read_csv(path, **options)


def questions(raw: Path, name: str) -> pd.DataFrame:
    """The questions of a table, in the column ``text``, next to what identifies them."""
    file, column = QUESTIONS[name]
    texts = table(raw, f"texts_for_features/{file}.csv.gz", keep_default_na=False)
    return texts.rename(columns={column: "text"})


def same_rows(first: pd.Series, second: pd.Series, files: str) -> None:
    """Two files that are read side by side must list the same items in the same order."""
    if first.astype(str).tolist() != second.astype(str).tolist():
        raise ValueError(f"{files} do not list the same items in the same order")


def codes(values, labels, absent) -> np.ndarray:
    """Index of each value in `labels`: `UNPARSED` where it is no label, `ABSENT` under the mask."""
    found = pd.Index(labels).get_indexer(np.ravel(np.asarray(values, object)))
    found = np.where(found < 0, UNPARSED, found).reshape(np.shape(values))
    return np.where(absent, ABSENT, found)


def report_grades(name: str, answer: np.ndarray, truth: np.ndarray, correct: np.ndarray) -> None:
    """Print how often the source's grade is not simply "the answer equals the truth"."""
    graded = ~np.isnan(correct)
    differ = ((answer == truth[:, None]) != correct) & graded
    tqdm.write(f"{name}: {differ.sum()} of {graded.sum()} grades differ from answer == truth")


# -- one function a source --------------------------------------------------------------------


def number(text: str) -> int | float | None:
    """A final answer as a number, so that "18", "18.0" and "$1,000" each have one code."""
    text = text.strip().replace(",", "").replace("$", "")
    if not text:
        return None
    value = round(float(text), 6)  # 499.99999999999994 is the float of somebody's 500
    return int(value) if value.is_integer() else value


def gsm8k_44_llms(raw: Path) -> Outcomes:
    """Final numbers of 44 language models on GSM8K's test questions."""
    folder = "gsm8k_44_llms/"
    replies = table(raw, folder + "answers.csv.gz", dtype=str, keep_default_na=False)
    graded, chars = (table(raw, folder + f"{f}.csv.gz") for f in ("correct", "output_chars"))
    texts = questions(raw, "gsm8k-44-llms")
    for other in (graded, chars, texts):
        same_rows(replies["id"], other["id"], "the files of " + folder)
    models = list(replies.columns[2:])
    read = np.vectorize(number, otypes=[object])
    numbers, truth = read(replies[models]), read(replies["reference"])
    labels = sorted({*truth, *numbers.ravel()} - {None})
    answer = codes(numbers, labels, chars[models].isna())
    truth = codes(truth, labels, False)
    report_grades("gsm8k-44-llms", answer, truth, graded[models].to_numpy(float))
    return Outcomes(
        models=models,
        items=replies["id"].str.rpartition("#")[2].astype(int).to_numpy(),
        correct=graded[models],
        answer=answer,
        labels=labels,
        truth=truth,
        tokens=chars[models] / CHARS_PER_TOKEN,
        features={"question_chars": chars["question_chars"], **embedding(texts["text"])},
    )


def mmlu_pro_29_llms(raw: Path) -> Outcomes:
    """Chosen letters of 29 language models on MMLU-Pro."""
    folder = "mmlu_pro_29_llms/"
    replies = table(raw, folder + "predictions.csv.gz", keep_default_na=False)
    chars = table(raw, folder + "output_chars.csv.gz")
    texts = questions(raw, "mmlu-pro-29-llms")
    for other in (chars, texts):
        same_rows(replies["question_id"], other["question_id"], "the files of " + folder)
    models = list(chars.columns[1:])
    absent = chars[models].isna().to_numpy()
    answer = codes(replies[models], list(LETTERS), absent)
    truth = codes(replies["answer"], list(LETTERS), False)
    return Outcomes(
        models=models,
        items=replies["question_id"].to_numpy(),
        correct=np.where(absent, np.nan, answer == truth[:, None]),
        answer=answer,
        labels=list(LETTERS),
        truth=truth,
        tokens=chars[models] / CHARS_PER_TOKEN,
        group=replies["category"],
        features={
            "n_options": replies["n_options"],
            "question_chars": texts["text"].str.len(),
            **embedding(texts["text"]),
        },
    )


def services(raw: Path, dataset: str) -> Outcomes:
    """Labels and confidences of three paid services and one open model, with their prices."""
    rows = table(raw, f"ml_services/{dataset}.csv.gz")
    prices = table(raw, "ml_services/prices.csv.gz")
    prices = prices[prices["dataset"] == dataset.upper()].set_index("api")["cost_usd_per_10k"]
    apis = [column.removesuffix(":pred") for column in rows if column.endswith(":pred")]
    unpriced = [api for api in apis if api not in prices]
    if unpriced:
        raise ValueError(f"prices.csv.gz has no price of {unpriced[0]!r} for {dataset.upper()}")
    answer = rows[[f"{api}:pred" for api in apis]].to_numpy()
    truth = rows["true_label"].to_numpy()
    numbers = range(1 + max(answer.max(), truth.max()))
    return Outcomes(
        models=[api.removeprefix("GitHub(").rstrip(")").replace("PP", "++") for api in apis],
        items=rows["row"].to_numpy(),
        correct=answer == truth[:, None],
        answer=answer,
        labels=EXPRESSIONS if dataset in ("rafdb", "expw") else numbers,
        truth=truth,
        confidence=rows[[f"{api}:conf" for api in apis]].to_numpy(),
        cost=np.tile(prices[apis] / 10_000, (len(rows), 1)),
    )


def imagenet(raw: Path, distortion: str) -> Outcomes:
    """Categories chosen by three networks for distorted pictures."""
    rows = table(raw, f"imagenet_cnns/{distortion}.csv.gz", dtype={"condition": str})
    labels = sorted(rows["category"].unique())
    answer = codes(rows[[f"{net}:pred" for net in NETWORKS]], labels, False)
    truth = codes(rows["category"], labels, False)
    return Outcomes(
        models=list(NETWORKS.values()),
        items=(rows["condition"] + "/" + rows["image"]).to_numpy(object),
        correct=answer == truth[:, None],
        answer=answer,
        labels=labels,
        truth=truth,
        confidence=rows[[f"{net}:top_prob" for net in NETWORKS]].to_numpy(),
        group=rows["condition"],
    )


def list_prices(raw: Path) -> dict[str, dict]:
    """USD per million tokens of each service, as RouterArena lists them."""
    path = raw / "prices/routerarena_cost.json"
    if not path.is_file():
        raise FileNotFoundError(f"no raw file {str(path)!r}; --raw takes the folder that has it")
    return json.loads(path.read_text())


def estimated_cost(raw: Path, models, prompt_chars, tokens) -> np.ndarray:
    """USD (n, m): list prices times prompt and output length, `tokens` (n, m)."""
    prices = [list_prices(raw)[PRICED[model]] for model in models]
    read, write = (
        np.array([price[f"{way}_token_price_per_million"] for price in prices]) / 1e6
        for way in ("input", "output")
    )
    prompt = np.asarray(prompt_chars)[:, None] / CHARS_PER_TOKEN
    return np.round(prompt * read + tokens * write, 9)


def routellm_mmlu(raw: Path) -> Outcomes:
    """Mixtral 8x7B and GPT-4 on MMLU: right or wrong."""
    rows, texts = table(raw, "routellm/mmlu.csv.gz"), questions(raw, "routellm-mmlu")
    items = rows["subject"] + "/" + rows["row"].astype(str)
    same_rows(items, texts["subject"] + "/" + texts["row"].astype(str), "the MMLU files")
    return Outcomes(
        models=list(PRICED),
        items=items.to_numpy(object),
        correct=rows[["mixtral_8x7b_correct", "gpt4_1106_correct"]].to_numpy(),
        cost=estimated_cost(raw, PRICED, rows["prompt_chars"], 1),  # the answer is one letter
        cost_is_estimated=True,
        group=rows["subject"],
        features={"prompt_chars": rows["prompt_chars"], **embedding(texts["text"])},
    )


def routellm_gsm8k(raw: Path) -> Outcomes:
    """Mixtral 8x7B and GPT-4 on GSM8K: right or wrong, and how long the answers were."""
    rows, texts = table(raw, "routellm/gsm8k.csv.gz"), questions(raw, "routellm-gsm8k")
    same_rows(rows["item"], texts["item"], "the GSM8K files")
    tokens = rows[["mixtral_8x7b_chars", "gpt4_1106_chars"]].to_numpy() / CHARS_PER_TOKEN
    return Outcomes(
        models=list(PRICED),
        items=rows["item"].to_numpy(),
        correct=rows[["mixtral_8x7b_correct", "gpt4_1106_correct"]].to_numpy(),
        tokens=tokens,
        cost=estimated_cost(raw, PRICED, rows["prompt_chars"], tokens),
        cost_is_estimated=True,
        features={"prompt_chars": rows["prompt_chars"], **embedding(texts["text"])},
    )


def per_puzzle(so_far: pd.Series) -> np.ndarray:
    """Differences of a running count; where the source's run was resumed it restarts at zero."""
    step = np.diff(so_far, prepend=0)
    return np.where(step < 0, so_far, step)


def game_of_24(raw: Path) -> Outcomes:
    """GPT-4's samples on 100 puzzles, three ways of prompting; a column is one sample."""
    rows = table(raw, "game_of_24/samples.csv.gz")
    models, groups, parts = [], [], {"correct": [], "cost": [], "tokens": []}
    for method, short in METHODS.items():
        mine = rows[rows["method"] == method]
        correct = mine.pivot(index="puzzle", columns="sample", values="correct")
        first = mine.drop_duplicates("puzzle").set_index("puzzle").loc[correct.index]
        m = correct.shape[1]
        models += [f"gpt-4 {short} #{sample}" for sample in correct.columns]
        groups += [f"gpt-4 {short}"] * m
        share = {
            "cost": np.round(per_puzzle(first["usd_so_far"]) / m, 7),
            "tokens": np.round(per_puzzle(first["completion_tokens_so_far"]) / m, 2),
        }
        parts["correct"].append(correct.to_numpy())
        for name, values in share.items():
            parts[name].append(np.tile(values[:, None], (1, m)))
    return Outcomes(
        models=models,
        items=correct.index.to_numpy(),
        model_group=groups,
        cost_is_estimated=True,
        **{name: np.hstack(blocks) for name, blocks in parts.items()},
    )


def gpt_drift_primes(raw: Path) -> Outcomes:
    """Prime or not, by two snapshots each of GPT-3.5 and GPT-4."""
    rows = table(raw, "gpt_drift/primes.csv.gz", keep_default_na=False)
    rows["model"] = rows["model"].str.removeprefix("openaichat/")
    wide = {c: rows.pivot(index="id", columns="model", values=c) for c in rows.columns[2:]}
    answer = codes(wide["predicted"], ["no", "yes"], False)
    truth = codes(wide["ref_answer"].iloc[:, 0].str.lower(), ["no", "yes"], False)
    report_grades("gpt-drift-primes", answer, truth, wide["correct"].to_numpy(float))
    return Outcomes(
        models=list(wide["correct"].columns),
        items=wide["correct"].index.to_numpy(),
        correct=wide["correct"],
        answer=answer,
        labels=["no", "yes"],
        truth=truth,
        latency=wide["latency"],
        cost=wide["cost"],
        tokens=wide["answer_token"],
        features={"number": wide["number"].iloc[:, 0]},
    )


def gsm8k_openai_2021(raw: Path) -> Outcomes:
    """GPT-3 of two sizes on GSM8K, finetuned and with a verifier: right or wrong."""
    rows = table(raw, "gsm8k_openai_2021/correct.csv.gz", index_col="item")
    models = [name.replace("b_", "B ") for name in rows]
    return Outcomes(models=models, items=rows.index.to_numpy(), correct=rows.to_numpy())


BUILDERS = {
    "gsm8k-44-llms": gsm8k_44_llms,
    "mmlu-pro-29-llms": mmlu_pro_29_llms,
    "gsm8k-openai-2021": gsm8k_openai_2021,
    **{
        f"{dataset}-services": partial(services, dataset=dataset)
        for dataset in ("imdb", "waimai", "shop", "rafdb", "expw", "audiomnist", "fluent")
    },
    **{
        f"imagenet-{distortion}": partial(imagenet, distortion=distortion)
        for distortion in ("colour", "contrast", "lowpass", "rotation")
    },
    "routellm-mmlu": routellm_mmlu,
    "routellm-gsm8k": routellm_gsm8k,
    "game-of-24": game_of_24,
    "gpt-drift-primes": gpt_drift_primes,
}
