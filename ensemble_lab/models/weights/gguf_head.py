"""The header of a GGUF file, and whether all of it is understood.

The loader of transformers ignores unknown tensors and settings, and the network is then a different
one. So a file with unknown ones is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import MissingPackage, require
from ensemble_lab.models.errors import ModelError

LAYER = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output")
LAYER += ("ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
BIASES = ("attn_q.bias", "attn_k.bias", "attn_v.bias")
# Architectures, and the tensors of a layer that they have in addition to those of a Llama.
ARCHITECTURES = {"llama": (), "qwen2": BIASES}
NEEDED = ("context_length", "block_count", "feed_forward_length", "embedding_length",
          "attention.head_count", "attention.head_count_kv",
          "attention.layer_norm_rms_epsilon")  # fmt: skip
WIDTHS = ("rope.dimension_count", "attention.key_length", "attention.value_length")
SETTINGS = {*NEEDED, *WIDTHS, "rope.freq_base", "vocab_size", "tensor_data_layout"}
# How text is split before it becomes tokens; with other kinds the tokens would be wrong.
PARTED = {None, "default", "gpt-2", "smollm", "llama3", "llama-v3", "llama-bpe", "qwen2",
          "deepseek-r1-qwen", "tekken"}  # fmt: skip
ORIGINAL = "load the original model, which has safetensors"


def is_part(name: str) -> bool:
    """Whether a file is one of several by its name."""
    return re.search(r"-\d{5}-of-\d{5}\.gguf$", name, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Head:
    """The header of a GGUF file.

    Parameters
    ----------
    metadata : mapping
    parameters : int
    kind : str
        The number format that most weights have.
    factors : list of float, optional
        The divisor of each frequency of the positions.
    """

    metadata: Mapping[str, Any]
    parameters: int
    kind: str
    factors: list[float] | None

    @property
    def weights(self) -> str:
        """The name of the weights, for a label."""
        if self.kind in ("F32", "F16", "BF16"):
            return f"GGUF in {self.kind}"
        bits = re.search(r"\d", self.kind)
        return f"{bits[0] if bits else '?'}-bit GGUF ({self.kind}), dequantised"


def inspected(path: Path) -> Head:
    """Read a GGUF file's header, and refuse a file that would be misread.

    Raises
    ------
    ModelError
        The first thing that is damaged, missing or not understood, with the fix.
    """
    try:
        return _inspected(path, shown(path.name))
    except (ModelError, MissingPackage):
        raise
    except Exception as error:  # from settings of an unforeseen type
        raise ModelError(
            f"{shown(path.name)} is damaged ({type(error).__name__}: {shown(str(error))}): fetch it"
            " again"
        ) from error


def _inspected(path: Path, name: str) -> Head:
    require("a GGUF file", "gguf")
    from gguf import GGUFReader

    _check_start(path, name)
    try:
        reader = GGUFReader(path)
        keys = [key for key in reader.fields if not key.startswith("GGUF.")]
        metadata = {key: reader.fields[key].contents() for key in keys}
    except Exception as error:  # from numpy, for places after the end of the file
        raise ModelError(
            f"{name} is damaged or cut off ({path.stat().st_size:,} bytes): fetch it again"
        ) from error
    shapes = {one.name: tuple(map(int, one.shape)) for one in reader.tensors}
    _check_whole(metadata, shapes, name)
    _check_network(metadata, shapes, name)
    kinds: Counter = Counter()
    for one in reader.tensors:
        kinds[one.tensor_type.name] += int(one.n_elements)
    factors = [o.data.tolist() for o in reader.tensors if o.name == "rope_freqs.weight"]
    if "tokenizer.ggml.tokens" not in metadata:
        raise ModelError(f"{name} holds no tokenizer: convert it again, with its vocabulary")
    if (kind := metadata.get("tokenizer.ggml.model")) not in ("gpt2", "llama"):
        raise ModelError(f"{name} has a {shown(kind)} tokenizer, which is not read yet: {ORIGINAL}")
    if (parted := metadata.get("tokenizer.ggml.pre")) not in PARTED:
        raise ModelError(
            f"the tokenizer of {name} is of the kind {shown(parted)}, which is not read yet:"
            f" {ORIGINAL}"
        )
    return Head(metadata, sum(kinds.values()), kinds.most_common(1)[0][0], *factors or [None])


def _check_start(path: Path, name: str) -> None:
    """The first eight bytes: magic and version."""
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"version "):  # the start of a pointer's text
        raise ModelError(f"{name} is a pointer to a file in Git LFS: run `git lfs pull`")
    if start[:4] in (b"ggml", b"lmgg", b"tjgg", b"fmgg", b"algg"):
        raise ModelError(f"{name} is a GGML file, older than GGUF: fetch the model as GGUF")
    if start[:4] != b"GGUF":
        raise ModelError(f"{name} is not a GGUF file (it does not start with GGUF): fetch it again")
    if len(start) < 8:
        raise ModelError(f"{name} is cut off after {len(start)} bytes: fetch it again")
    version = int.from_bytes(start[4:], "little")
    if version & 0xFFFF == 0:
        raise ModelError(f"{name} is a big-endian GGUF: fetch or convert one that is not")
    if version not in (2, 3):
        raise ModelError(f"{name} is a GGUF of version {version}; 2 and 3 are read: convert it")


def _check_whole(metadata: Mapping, shapes: Mapping, name: str) -> None:
    """All of a language model, in one file."""
    if metadata.get("split.count", 1) > 1 or is_part(name.strip("'")):
        raise ModelError(
            f"{name} is a part of a split file: merge them with `llama-gguf-split --merge FIRST"
            " WHOLE`, and give the merged file"
        )
    kind = metadata.get("general.type", "model")
    architecture = metadata.get("general.architecture", "unknown")
    if kind != "model" or architecture not in ARCHITECTURES:
        what = architecture if kind == "model" else f"{architecture} ({kind})"
        raise ModelError(
            f"{name} is of the architecture {shown(what, 40)}, which is not read yet; known are"
            f" {', '.join(ARCHITECTURES)}: {ORIGINAL}"
        )
    if not shapes:
        raise ModelError(f"{name} holds a vocabulary and no weights: give the model's own file")


def _check_network(metadata: Mapping, shapes: Mapping, name: str) -> None:
    """Check that every tensor and setting is known, and that none is missing."""
    architecture = metadata["general.architecture"]
    ours = {k.removeprefix(f"{architecture}."): v for k, v in metadata.items()
            if k.startswith(f"{architecture}.")}  # fmt: skip
    for key in ("expert_count", "expert_used_count", "rope.scaling.type"):
        if ours.get(key) in (0, "none"):
            ours.pop(key)
    odd = [key for key in ours if key not in SETTINGS]
    odd += [key for key in NEEDED if isinstance(ours.get(key), list)]  # one for each layer
    if odd:
        raise ModelError(
            f"{name} has the setting {shown(f'{architecture}.{odd[0]}', 60)}, which is not read"
            f" yet: {ORIGINAL}"
        )
    if lost := [key for key in NEEDED if not ours.get(key)]:
        raise ModelError(f"{name} lacks the setting {architecture}.{lost[0]}: convert it again")
    size = ours["embedding_length"] // ours["attention.head_count"]
    if architecture == "llama":  # only its heads may have another width
        size = ours.get("rope.dimension_count", size)
    if odd := [key for key in WIDTHS if ours.get(key, size) != size]:
        raise ModelError(
            f"{name} has heads of an odd width ({architecture}.{odd[0]} is {ours[odd[0]]}), which"
            f" are not read yet: {ORIGINAL}"
        )
    if not all(type(ours[key]) in (int, float) for key in NEEDED):
        raise ModelError(f"{name} has a setting of {architecture} that is not a number: {ORIGINAL}")
    if ours["block_count"] > len(shapes):  # before a list with as many entries is made
        raise ModelError(
            f"{name} has {len(shapes)} tensors for {ours['block_count']:,} layers: fetch it again"
        )
    wanted = {f"{part}.weight" for part in LAYER} | set(ARCHITECTURES[architecture])
    wanted = {f"blk.{i}.{part}" for i in range(ours["block_count"]) for part in wanted}
    wanted |= {"token_embd.weight", "output_norm.weight"}
    if lost := sorted(wanted - set(shapes)):
        raise ModelError(f"{name} lacks {shown(lost[0])}: fetch it again")
    if more := sorted(set(shapes) - wanted - {"output.weight", "rope_freqs.weight"}):
        raise ModelError(
            f"{name} holds {shown(more[0])}, which a {architecture} does not have: {ORIGINAL}"
        )
    rows, tokens = shapes["token_embd.weight"][-1], metadata.get("tokenizer.ggml.tokens")
    if tokens is not None and rows != ours.get("vocab_size", len(tokens)):
        raise ModelError(f"{name} has {rows:,} rows for {len(tokens):,} tokens: convert it again")
