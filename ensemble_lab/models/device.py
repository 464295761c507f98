"""Where a model runs and in which number format, chosen from what the machine has."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16", "float64")
# How the two kernels name a CPU's bfloat16 instructions: x86 (AVX-512, AMX) and Arm (SVE, NEON).
CPU_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Choose the device: CUDA if there is a card, else Apple's MPS, else the CPU.

    Parameters
    ----------
    device
        A request such as `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`, used if the machine has it.

    Raises
    ------
    ValueError
        The name is unknown, or this machine has no such device.

    Examples
    --------
    >>> pick_device("cpu")
    device(type='cpu')
    """
    require("choosing a device", "torch")
    import torch

    if device is None:
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if _count(name)))
    try:
        wish = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"unknown device {shown(device)}; use 'cpu', 'cuda', 'cuda:1', 'mps', or leave it out"
        ) from error
    if wish.type not in ("cuda", "mps", "cpu"):
        raise ValueError(f"device {shown(device)} is not supported; use 'cpu', 'cuda' or 'mps'")
    if (wish.index or 0) >= _count(wish.type):
        raise ValueError(
            f"this machine has no device {shown(device)} (it has {_count(wish.type)} of type "
            f"{shown(wish.type)}); use device='cpu' or leave it out"
        )
    return wish


def pick_dtype(
    device: str | torch.device | None = None, dtype: str | torch.dtype | None = None
) -> torch.dtype:
    """Choose the number format: bfloat16 where the chip has it, float16 on an older card.

    Parameters
    ----------
    device
        The device that will compute; `None` lets `pick_device` choose.
    dtype
        A request, such as `"bfloat16"` or `torch.bfloat16`, which is used.

    Raises
    ------
    ValueError
        The name is unknown.

    Examples
    --------
    >>> pick_dtype("cpu", "float32")
    torch.float32
    """
    require("choosing a number format", "torch")
    import torch

    if dtype is None:
        return getattr(torch, _best_dtype(pick_device(device)))
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {shown(dtype)}; use one of {', '.join(DTYPES)}")
    return getattr(torch, name)


def _count(kind: str) -> int:
    """How many devices of one kind there are."""
    import torch

    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return 1


def _best_dtype(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        # Ampere (8.0) was the first with bfloat16; a T4 (7.5) only emulates it, slowly.
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"
    if device.type == "mps":
        return "bfloat16" if torch.backends.mps.is_macos_or_newer(14, 0) else "float32"
    return "bfloat16" if cpu_flags() & CPU_BFLOAT16_FLAGS else "float32"


def cpu_flags() -> set[str]:
    """Instruction sets that the kernel reports for this CPU (empty where it reports none)."""
    if platform.system() != "Linux":
        return set()
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    # "flags" is x86's word and "Features" Arm's.
    fields = (line.partition(":") for line in lines if line.startswith(("flags", "Features")))
    return set(next((value for _, _, value in fields), "").split())
