"""Will the weights fit? What will be read and what will be built is counted before either."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import NotEnoughMemory
from ensemble_lab.models.weights.contents import contents

if TYPE_CHECKING:
    import torch

# Activations, the key-value cache and the loader's own buffers come on top of the weights.
HEADROOM = 1.2
GIB = 2**30


def available_memory(device: torch.device | str = "cpu") -> int:
    """Bytes a new model may take: free memory of the card, or of the machine or its container.

    Inside a container (Binder, Docker, a batch job) the kernel still reports the whole machine,
    so the control group's own limit counts as well.
    """
    if str(device).startswith("cuda"):
        require("a GPU's memory", "torch")
        import torch

        # What torch holds in its pool without using it can be used as well.
        pool = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + pool
    require("this machine's free memory", "psutil")
    import psutil

    return min([psutil.virtual_memory().available, *_container_room()])


def _container_room(root: Path = Path("/sys/fs/cgroup")) -> Iterable[int]:
    """Bytes left under the control group's limit, version 2 or 1, if there is one."""
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, used = (root / limit).read_text().strip(), (root / usage).read_text().strip()
            stat = (root / limit).with_name("memory.stat").read_text().split()
        except OSError:
            continue
        if most.isdigit():  # version 2 writes "max" for no limit
            fields = dict(zip(stat[::2], stat[1::2], strict=True))
            # Cached file pages count as used, yet the kernel drops them on demand.
            yield max(0, int(most) - int(used) + int(fields.get("inactive_file", 0)))


def count_parameters(folder: Path) -> int:
    """Count the numbers in the safetensors files that a folder's model is read from.

    Raises
    ------
    ModelError
        A file is truncated or is no safetensors file, or as in `weights.weight_files`.
    """
    return contents(folder).parameters


def check_memory(name: str, parameters: int, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a model whose weights would not fit.

    Raises
    ------
    NotEnoughMemory
        Says how much is needed, how much there is, and what would fit.
    """
    free = available_memory(device)
    need = parameters * dtype.itemsize * HEADROOM
    if need <= free:
        return
    half = parameters * 2 * HEADROOM
    fix = (
        f"dtype='bfloat16' would need {format_size(half)} and fit"
        if dtype.itemsize > 2 and half <= free
        else f"a model of up to {_number(free / (2 * HEADROOM))} parameters would fit in "
        "bfloat16: choose a smaller one, or serve it elsewhere and load('openai:…')"
    )
    raise NotEnoughMemory(
        f"{shown(name, 62)} has {_number(parameters)} parameters and needs about"
        f" {format_size(need)} in {str(dtype).removeprefix('torch.')}, but {device} has"
        f" {format_size(free)} free; {fix}"
    )


def format_size(count: float) -> str:
    """Write bytes as people read them."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"


def _number(count: float) -> str:
    """Write a number of parameters as people read it."""
    return f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.2f} million"
