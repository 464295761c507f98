"""Weights as whole numbers of 4 or 8 bits with a scale and a zero for each 32 of them.

A weight is scale x code + zero. GGUF files hold such blocks (Q4_0, Q4_1, Q8_0); other weights can
be rounded to 8 bits.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.weights.contents import WHOLE, contents
from ensemble_lab.models.weights.gguf_file import beside, check_room, move

GROUP = 32  # weights of a row that share a scale
FILE = "codes.safetensors"
BLOCKS = {"Q4_0": 4, "Q4_1": 4, "Q8_0": 8}  # bits of a code, by the name of the file's format
# A layer's matrices by their names in a file and in transformers.
NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}  # fmt: skip


@dataclass(frozen=True)
class Codes:
    """A matrix (n, k) in few bits.

    Parameters
    ----------
    bits : int
        4 or 8.
    codes : (n, k) int8 tensor
        From -8 to 7, or from -128 to 127.
    scale, zero : (n, k / 32) float32 tensors
    """

    bits: int
    codes: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor

    def weights(self) -> torch.Tensor:
        """The numbers (n, k) that they stand for, in float32."""
        grouped = self.codes.unflatten(-1, (-1, GROUP)).float()
        return (grouped * self.scale[..., None] + self.zero[..., None]).flatten(-2)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it, for a file."""
        return vars(self) | {"bits": torch.tensor(self.bits)}

    def rows(self, order: torch.Tensor) -> Codes:
        """The same rows (n,) in another order."""
        return Codes(self.bits, self.codes[order], self.scale[order], self.zero[order])


def rounded(weight: torch.Tensor) -> Codes:
    """A matrix (n, k) rounded to 8 bits, as Q8_0 does: the largest of 32 numbers becomes 127.

    The scale is a bfloat16, as the product uses it.
    """
    grouped = weight.detach().float().unflatten(-1, (-1, GROUP))
    scale = (grouped.abs().amax(-1) / 127).bfloat16().float()
    codes = (grouped / scale.clamp(min=1e-30)[..., None]).round().clamp(-128, 127)
    return Codes(8, codes.flatten(-2).to(torch.int8), scale, torch.zeros_like(scale))


def few_bit_folder(folder: Path, gguf: Callable[[Path], Path]) -> Path:
    """The folder beside a dequantised one with its weights in bfloat16, and the file's codes.

    It is made once, in the cache where the other's folder cannot be written. bfloat16
    weights of a file are mapped into memory, not copied.

    Parameters
    ----------
    folder : Path
        What `gguf_file.gguf_folder` made, in float32.
    gguf : callable
        Gives the GGUF file, for which it may use a folder of its own.

    Raises
    ------
    ModelError
        The codes are not the weights of the folder.
    NotEnoughMemory
        There is no room on the disk.
    """
    from safetensors.torch import save_file

    made = folder.with_name(f"{folder.name}-few-bits")
    if made.exists():
        return made
    place = beside(folder)
    made = place / made.name
    if made.exists():
        return made
    check_room(folder.name, 2 * contents(folder).parameters, place)
    with tempfile.TemporaryDirectory(dir=place) as work:
        new = Path(work) / "model"
        new.mkdir()
        for one in folder.iterdir():
            if one.suffix != ".safetensors":
                shutil.copy(one, new)
        [file] = contents(folder).files
        with safe_open(file, framework="pt") as weights:  # mapped, and read one by one
            halves = {name: weights.get_tensor(name).bfloat16() for name in weights.keys()}
            save_file(halves, new / WHOLE, {"format": "pt"})
            del halves
            given = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            kept = {}
            for name, one in file_codes(gguf(Path(work)), given):
                if not torch.equal(one.weights(), weights.get_tensor(f"{name}.weight")):
                    raise ModelError(
                        f"the {one.bits}-bit codes of {shown(name)} are not its dequantised"
                        ' weights: use dtype="bfloat16"'
                    )
                kept |= {f"{name}.{part}": tensor for part, tensor in one.tensors().items()}
            save_file(kept, new / FILE)
        move(new, made)
    return made


class HeldCodes:
    """The codes in a folder that `few_bit_folder` made, by transformers' names; read when asked."""

    def __init__(self, folder: Path):
        self.path = folder / FILE
        self.names = set()
        if self.path.exists():
            with safe_open(self.path, framework="pt") as file:
                self.names = {name.rpartition(".")[0] for name in file.keys()}

    def get(self, name: str) -> Codes | None:
        """Those of one matrix, or None."""
        if name not in self.names:
            return None
        with safe_open(self.path, framework="pt") as file:
            parts = {part: file.get_tensor(f"{name}.{part}") for part in Codes.__dataclass_fields__}
        return Codes(int(parts.pop("bits")), **parts)


def file_codes(path: Path, config: Mapping) -> Iterator[tuple[str, Codes]]:
    """The matrices of a GGUF file that are in blocks of 4 or 8 bits, with transformers' names.

    Parameters
    ----------
    path : Path
        A file that `gguf_head.inspected` has accepted.
    config : mapping
        The model's configuration. A Llama's file holds the rows of queries and keys in another
        order.
    """
    from gguf import GGUFReader

    heads = {}
    if config["model_type"] == "llama":
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for one in GGUFReader(path).tensors:
        name, kind = transformers_name(one.name), one.tensor_type.name
        if name is None or kind not in BLOCKS:
            continue
        codes = decoded(np.array(one.data), kind)
        part = name.rpartition(".")[2]
        if part in heads:
            codes = codes.rows(unpermuted(len(codes.codes), heads[part]))
        yield name, codes


def transformers_name(name: str) -> str | None:
    """A matrix's name in transformers, or None for what is no matrix of a layer or a head."""
    if name in ("token_embd.weight", "output.weight"):
        return "lm_head" if name == "output.weight" else "model.embed_tokens"
    block, number, part, *rest = [*name.split("."), "", ""]
    if block != "blk" or part not in NAMES or rest[0] != "weight":
        return None
    return f"model.layers.{number}.{NAMES[part]}"


def decoded(data: np.ndarray, kind: str) -> Codes:
    """Rows of blocks (n, bytes) as codes.

    A block is its scale (float16), in Q4_1 its minimum, and 32 codes; of two 4-bit codes in a byte
    the lower one belongs to the first half of the block.

    Raises
    ------
    ModelError
        The bytes are no whole number of blocks.
    """
    ahead = 4 if kind == "Q4_1" else 2
    size = ahead + GROUP * BLOCKS[kind] // 8
    if data.shape[-1] % size:
        raise ModelError(f"{shown(data.shape[-1])} bytes are no whole number of {kind} blocks")
    blocks = data.reshape(len(data), -1, size)
    numbers = torch.from_numpy(blocks[..., :ahead].copy().view(np.float16).astype(np.float32))
    scale, packed = numbers[..., 0], blocks[..., ahead:]
    if kind == "Q8_0":
        codes, zero = packed.copy().view(np.int8), torch.zeros_like(scale)
    else:
        codes = np.concatenate([packed & 15, packed >> 4], -1).astype(np.int8) - 8
        zero = numbers[..., 1] + 8 * scale if kind == "Q4_1" else torch.zeros_like(scale)
    return Codes(BLOCKS[kind], torch.from_numpy(codes).flatten(-2), scale.contiguous(), zero)


def unpermuted(rows: int, heads: int) -> torch.Tensor:
    """Where the rows of transformers' query or key matrix lie in a Llama's file.

    The file has the two coordinates that a rotary embedding turns beside each other.
    """
    return torch.arange(rows).view(heads, -1, 2).transpose(1, 2).flatten()
