"""Checks that weights fit: their numbers are counted before anything is read or built."""

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
CGROUP, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available_memory(device: torch.device | str = "cpu") -> int:
    """Bytes a new model may take: free memory of the card, or of the machine or its container.

    Inside a container (Binder, Docker, a batch job) the kernel still reports the whole machine,
    so the control group's own limit counts as well.
    """
    if str(device).startswith("cuda"):
        require("a GPU's memory", "torch")
        import torch

        # Unused memory in torch's pool can be used too.
        pool = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + pool
    require("this machine's free memory", "psutil")
    import psutil

    return min([psutil.virtual_memory().available, *_container_room()])


def memory_groups(root: Path = CGROUP, told: Path = OWN_GROUPS) -> list[Path]:
    """The folders of the control groups that may limit this process, in version 2 or 1.

    A container sees its own group at the root. Batch jobs and services of systemd see the whole
    machine's tree, and stand in one of its groups, which `told` names; those above it limit too.
    """
    folders = [root, root / "memory"]
    try:
        lines = told.read_text().splitlines()
    except OSError:  # no Linux
        return folders
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        if ".." in own.split("/"):  # outside of what this container sees
            continue
        base = root / "memory" if controllers else root
        group = base / own.strip("/")
        folders += [f for f in (group, *group.parents) if f.is_relative_to(base)]
    return list(dict.fromkeys(folders))


def _container_room(root: Path = CGROUP, told: Path = OWN_GROUPS) -> Iterable[int]:
    """Bytes left under the limits of control groups, version 2 or 1, if there are any."""
    for folder in memory_groups(root, told):
        for limit, usage in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            try:
                most, used = (folder / limit).read_text().strip(), (folder / usage).read_text()
                stat = (folder / "memory.stat").read_text().split()
            except OSError:
                continue
            if most.isdigit():  # version 2 writes "max" for no limit
                fields = dict(zip(stat[::2], stat[1::2], strict=True))
                # Cached file pages count as used, but the kernel frees them on demand.
                yield max(0, int(most) - int(used) + int(fields.get("inactive_file", 0)))


def count_parameters(folder: Path) -> int:
    """Count the numbers in the safetensors files that a folder's model is read from.

    Raises
    ------
    ModelError
        A file is truncated or is not a safetensors file, or as in `weights.weight_files`.
    """
    return contents(folder).parameters


def check_memory(name: str, parameters: int, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse a model whose weights would not fit.

    Raises
    ------
    NotEnoughMemory
        With the memory that is needed, the free memory, and a size that would fit.
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
    """Bytes as readable text."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"


def _number(count: float) -> str:
    """A number of parameters as readable text."""
    return f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.2f} million"
