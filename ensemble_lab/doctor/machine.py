"""Processor, graphics card and memory."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from ensemble_lab.doctor.finding import Finding, gib, pip_install
from ensemble_lab.models.memory import CGROUP, OWN_GROUPS, memory_groups

LITTLE_MEMORY = 2**30  # with less than this a notebook that loads a model stops in the middle


def device() -> list[Finding]:
    """The devices: graphics cards if torch sees any, and the processor."""
    findings = [Finding("processor", f"{cpu_model()}, {usable_cores():g} usable cores")]
    try:
        import torch
    except ImportError:
        return findings  # already reported among the packages
    from ensemble_lab.models.device import pick_device, pick_dtype

    chosen = pick_device()
    dtype = str(pick_dtype(chosen)).removeprefix("torch.")
    if chosen.type == "cuda":
        free, total = torch.cuda.mem_get_info(chosen)
        name = torch.cuda.get_device_name(chosen)
        value = f"cuda: {name}, {gib(free)} of {gib(total)} free, {dtype}"
    else:
        value = f"{chosen.type}, {dtype}"
    if chosen.type == "cpu" and shutil.which("nvidia-smi"):
        fix = f"{pip_install('torch')} --force-reinstall (a build with CUDA)"
        return [*findings, Finding("device", f"{value}; torch sees no NVIDIA card", False, fix)]
    return [*findings, Finding("device", value)]


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> float:
    """Cores that this process may use: a container's quota (Binder) counts too."""
    here = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if here else os.cpu_count() or 1
    quota, _, period = limit.read_text().partition(" ") if limit.exists() else ("max", "", "")
    return min(cores, int(quota) / int(period)) if quota.isdigit() else cores


def memory() -> Finding:
    """Free and total memory: a container's limit (Binder) is what counts."""
    try:
        import psutil

        from ensemble_lab.models.memory import available_memory
    except ImportError:
        return Finding("memory", "unknown without psutil", False, pip_install("psutil"))
    free, machine = available_memory(), psutil.virtual_memory().total
    total = min(machine, container_limit() or machine)
    ok = free >= LITTLE_MEMORY
    fix = "" if ok else "close other programs or notebooks (their kernels keep memory)"
    whose = "" if total == machine else ", the limit of this container"
    return Finding("memory", f"{gib(free)} of {gib(total)} free{whose}", ok, fix)


def total_memory() -> int | None:
    """Bytes of the machine or of its container; None where nobody can say."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, a browser
        return None
    return min(machine, container_limit() or machine) if machine > 0 else None


def container_limit(root: Path = CGROUP, told: Path = OWN_GROUPS) -> int | None:
    """Bytes that the control groups of this process may hold; None where there is no limit."""
    limits = []
    for folder in memory_groups(root, told):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                limit = (folder / name).read_text().strip()
            except OSError:
                continue
            # Version 2 writes "max" for no limit, version 1 a number above any memory.
            if limit.isdigit() and int(limit) < 2**60:
                limits.append(int(limit))
    return min(limits, default=None)
