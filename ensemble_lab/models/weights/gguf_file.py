"""GGUF files: checked, dequantised once into a folder with safetensors, and read from there.

transformers has the code for the layouts; `gguf_head` refuses what that code would ignore.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError, NotEnoughMemory
from ensemble_lab.models.memory import available_memory, format_size
from ensemble_lab.models.weights.gguf_head import Head, inspected, is_part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")
LABEL = "weights.txt"  # the name of the weights in a converted folder
COPIES = 2  # of the float32 weights, at the peak of a conversion


def cache_folder() -> Path:
    """The folder for fetched files: `ENSEMBLE_LAB_CACHE` or ~/.cache/ensemble_lab."""
    chosen = os.environ.get("ENSEMBLE_LAB_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "ensemble_lab"


def beside(path: Path) -> Path:
    """Where a file or folder is made of another one: beside it, or in the cache.

    In the cache where the folder cannot be written, as in an installation that a class shares.

    Raises
    ------
    ModelError
        Neither can be written.
    """
    if os.access(path.parent, os.W_OK):
        return path.parent
    kept = cache_folder()
    try:
        kept.mkdir(parents=True, exist_ok=True)
        writable = os.access(kept, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise ModelError(
            f"neither {shown(str(path.parent), 100)} nor the cache {shown(str(kept), 100)} can be"
            " written: point ENSEMBLE_LAB_CACHE at a folder of yours"
        )
    return kept


def gguf_at(path: Path) -> Path | None:
    """The GGUF file at a path, or the only one in a folder without safetensors, or None.

    It is recognised by its suffix or by its first bytes (Ollama's files have no suffix).

    Raises
    ------
    ModelError
        There is no such file, or the folder holds several.
    """
    if path.is_file():
        with path.open("rb") as file:
            return path if is_gguf(path) or file.read(4) == b"GGUF" else None
    if is_gguf(path) and not path.is_dir():
        raise ModelError(
            f"there is no file {shown(str(path), 150)}: give the path of a .gguf on this disk"
            " (`hf download owner/name FILE.gguf` fetches one from the Hub)"
        )
    try:
        if not path.is_dir() or any(path.glob("*.safetensors")):
            return None
    except OSError:  # a folder that cannot be read; other checks name it
        return None
    found = sorted(one for one in path.iterdir() if is_gguf(one))
    if len(found) > 1 and not all(is_part(one.name) for one in found):
        names = shown(", ".join(one.name for one in found))
        raise ModelError(f"{path} holds {len(found)} GGUF files, {names}: give the path of one")
    return found[0] if found else None


def is_gguf(path: Path) -> bool:
    """Whether a file is a GGUF by its name."""
    return path.suffix.lower() == ".gguf"


def gguf_folder(path: Path) -> tuple[Path, str]:
    """The folder with the dequantised model, made if it is missing, and the weights' label.

    It is named after the file's content, so a changed file is converted again.

    Raises
    ------
    ModelError
        Not a GGUF, a damaged one, or one that is not understood.
    NotEnoughMemory
        The one conversion would not fit in memory or on the disk.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    kept = cache_folder() / "gguf"
    folder = kept / f"{path.stem[:60]}-{digest}"
    if not folder.exists():
        head = inspected(path)
        kept.mkdir(parents=True, exist_ok=True)
        check_conversion(path.name, head.parameters, kept)
        with tempfile.TemporaryDirectory(dir=kept) as work:  # a broken run leaves no half model
            dequantise(path, Path(work) / "model", head)
            (Path(work) / "model" / LABEL).write_text(head.weights, encoding="utf-8")
            move(Path(work) / "model", folder)
    return folder, f"local file {path}, {(folder / LABEL).read_text(encoding='utf-8')}"


def check_conversion(name: str, parameters: int, folder: Path) -> None:
    """Raise `NotEnoughMemory` where float32 weights would fit neither in memory nor on the disk."""
    size = 4 * parameters
    _check(name, COPIES * size, available_memory(), "of memory")
    check_room(name, size, folder)


def check_room(name: str, size: int, folder: Path) -> None:
    """Raise `NotEnoughMemory` where a folder's disk has less than `size` bytes left."""
    _check(name, size, shutil.disk_usage(folder).free, f"on the disk of {shown(str(folder))}")


def _check(name: str, need: int, free: int, where: str) -> None:
    if need > free:
        raise NotEnoughMemory(
            f"dequantising {shown(name)} takes about {format_size(need)} {where} once, and"
            f" {format_size(free)} are free: make room, or take a smaller model"
        )


def move(made: Path, folder: Path) -> None:
    """Give a finished folder its name, unless another process was first."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def dequantise(gguf: Path, folder: Path, head: Head | None = None) -> PreTrainedTokenizerBase:
    """Write a GGUF's weights as float32 safetensors, with its tokenizer, which is returned.

    float32 because a 4-bit code times its 16-bit scale plus its 16-bit offset needs more digits
    than either 16-bit format has.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain = {}
    if hasattr(transformers, "GgufConfig"):  # older releases always dequantise
        plain["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with tempfile.TemporaryDirectory() as alone:  # other files in that folder do not belong to it
        given = Path(alone) / "model.gguf"
        try:
            given.symlink_to(gguf.resolve())
        except OSError:  # a system without links
            shutil.copyfile(gguf, given)
        try:
            tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=given.name)
            model = AutoModelForCausalLM.from_pretrained(
                alone, gguf_file=given.name, dtype=torch.float32, **plain
            )
        except Exception as error:  # from unforeseen content of the file
            raise ModelError(
                f"{shown(gguf.name)} cannot be read ({type(error).__name__}: {shown(str(error))}):"
                " fetch it again, or load the original model"
            ) from error
    if head is not None:
        _set_ends(model, head.metadata)
        if head.factors is not None:
            _set_positions(model.config, head.factors, gguf.name)
        model.config._name_or_path = ""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _set_ends(model, metadata: Mapping) -> None:
    """The tokens that end a text: the file keeps them with its tokenizer."""
    ids = (metadata.get(f"tokenizer.ggml.{key}") for key in ENDS)
    ends = list(dict.fromkeys(int(token) for token in ids if token is not None)) or None
    start = metadata.get("tokenizer.ggml.bos_token_id")
    pad = metadata.get("tokenizer.ggml.padding_token_id")
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.bos_token_id, config.pad_token_id = ends, start, pad


def _set_positions(config, factors: list[float], name: str) -> None:
    """Llama 3.1's stretched positions; a file holds only the factors (D / 2,)."""
    rope = dict(config.rope_parameters)
    rope |= {"rope_type": "llama3", "factor": max(factors), **LLAMA3}
    found = [_factor(i / len(factors), rope) for i in range(len(factors))]
    if not all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(found, factors, strict=True)):
        raise ModelError(
            f"{shown(name)} stretches its positions in a way that is not read yet: load the"
            " original model, which has safetensors"
        )
    config.rope_parameters = rope


def _factor(place: float, rope: Mapping) -> float:
    """Llama 3.1's divisor of a frequency: 1 for high ones, `factor` for low ones."""
    turns = rope["original_max_position_embeddings"] * rope["rope_theta"] ** -place / (2 * math.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
    return 1 / ((1 - smooth) / rope["factor"] + smooth)
