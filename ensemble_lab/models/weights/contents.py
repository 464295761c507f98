"""The files with a folder's weights, and their headers.

Only safetensors are read, and only those named here: other files in an index or a configuration are
refused before anything is opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError, PickledWeights
from ensemble_lab.models.weights.safetensors_head import header, short

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".distcp", ".h5", ".npz")
TO_SAFETENSORS = (
    "pickles can run code when opened: convert them to safetensors "
    "(model.save_pretrained(folder) writes them) if you trust their source"
)
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Contents:
    """The files and sizes of a folder's weights.

    Parameters
    ----------
    files : tuple of Path
    tensors : int
    parameters : int
        Numbers in all tensors together.
    """

    files: tuple[Path, ...]
    tensors: int
    parameters: int


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a small JSON file of a model's folder.

    Raises
    ------
    ModelError
        The file is damaged, is not a mapping, or cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{short(path)} cannot be read ({type(error).__name__}: {shown(str(error), 60)}):"
            " fetch it again"
        ) from error
    if not isinstance(found, dict):
        raise ModelError(
            f"{short(path)} holds {shown(found, 40)}, not names and values: fetch it again"
        )
    return found


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that hold a folder's weights, as its index names them.

    Raises
    ------
    PickledWeights
        The weights are pickles, or an index or an adapter leads to some.
    ModelError
        There are none, or the index names something that is not a plain file of this folder.
    """
    check_no_adapter(folder)
    if (folder / WHOLE).is_symlink() or (folder / WHOLE).exists():
        files = [WHOLE]
    elif (folder / INDEX).is_symlink() or (folder / INDEX).exists():
        files = shards(read_json(folder / INDEX), f"{short(folder)}: {INDEX}")
        for name in files:
            _check_inside(folder, name)
    else:
        raise _without_weights(folder)
    for name in files:
        if not (folder / name).is_file():
            what = "is a folder" if (folder / name).is_dir() else "does not exist"
            what = "is a link to nothing" if (folder / name).is_symlink() else what
            raise ModelError(f"{short(folder / name)} {what}: fetch the model again")
    return tuple(folder / name for name in files)


def shards(index: dict[str, Any], where: str) -> list[str]:
    """The files that an index names, each a plain name that ends in ``.safetensors``.

    Raises
    ------
    PickledWeights
        A file of another type.
    ModelError
        No files, or one outside the folder.
    """
    named = index.get("weight_map")
    if not isinstance(named, dict) or not named:
        raise ModelError(f"{where} names no files (weight_map): fetch it again")
    odd = next((name for name in named.values() if not isinstance(name, str)), None)
    if odd is not None:
        raise ModelError(f"{where} names {shown(odd, 40)} as a file: fetch it again")
    files = sorted(set(named.values()))
    for name in files:
        if not name.endswith(".safetensors"):
            raise PickledWeights(
                f"{where} names {shown(name, 60)}, which is not a *.safetensors file;"
                f" {TO_SAFETENSORS}"
            )
        if not re.fullmatch(r"\w[\w.+-]*", name, re.ASCII):
            raise ModelError(
                f"{where} names {shown(name, 60)}, which is not a file of this folder: put all"
                " files of the model next to the index, and use plain names"
            )
    return files


def check_no_adapter(folder: Path) -> None:
    """Refuse a folder with an adapter: it would be ignored, or would load another model."""
    if (folder / ADAPTER).is_symlink() or (folder / ADAPTER).exists():
        if any((folder / f"adapter_model{suffix}").exists() for suffix in PICKLES):
            raise PickledWeights(f"{short(folder)} holds a pickled adapter; {TO_SAFETENSORS}")
        raise ModelError(
            f"{short(folder)} holds an adapter ({ADAPTER}), which is not read: merge it into its"
            " model (model.merge_and_unload()) and save that one"
        )


def contents(folder: Path) -> Contents:
    """Files, tensors and parameters of a folder's weights, from the files' headers alone.

    Raises
    ------
    ModelError
        As in `weight_files`; or a file is truncated, damaged or not a safetensors file, or holds a
        tensor that another file also holds.
    """
    files = weight_files(folder)
    seen: dict[str, Path] = {}
    parameters = 0
    for path in files:
        for name, count in header(path).items():
            if name in seen:
                raise ModelError(
                    f"{short(path)} and {shown(seen[name].name, 60)} both hold {shown(name, 60)}:"
                    " keep one of them"
                )
            seen[name] = path
            parameters += count
    if not seen:
        raise ModelError(f"{short(files[0])} holds no tensors: fetch it again")
    return Contents(files, len(seen), parameters)


def _check_inside(folder: Path, name: str) -> None:
    """Refuse a link that leads out of the folder; the Hub's cache may lead to its own blobs."""
    path = folder / name
    if not path.is_symlink():
        return
    kept = folder.resolve()
    blobs = kept.parent.parent / "blobs" if kept.parent.name == "snapshots" else kept
    if not {kept, blobs} & {*path.resolve().parents}:
        raise ModelError(
            f"{short(path)} is a link out of the folder, and the index names it: put the file"
            " itself there"
        )


def _without_weights(folder: Path) -> ModelError:
    """The error for a folder without weights under the known names."""
    names: Sequence[str] = sorted(path.name for path in folder.iterdir())
    if any(name.endswith(".safetensors") for name in names):
        some = next(name for name in names if name.endswith(".safetensors"))
        return ModelError(
            f"{short(folder)} holds {shown(some, 60)}, and neither {WHOLE} nor {INDEX}: rename a"
            f" single file to {WHOLE}, or fetch the index"
        )
    if pickles := [name for name in names if Path(name).suffix.lower() in PICKLES]:
        return PickledWeights(
            f"{short(folder)} has only pickled weights ({shown(', '.join(pickles), 60)});"
            f" {TO_SAFETENSORS}"
        )
    return ModelError(f"{short(folder)} holds no *.safetensors: give a folder with a saved model")
