"""Checks of this machine, and for each problem the command that fixes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from ensemble_lab.doctor.files import cache, data, model_wheel, offline
from ensemble_lab.doctor.finding import Finding, in_browser
from ensemble_lab.doctor.installations import copies, doubled, environment, series
from ensemble_lab.doctor.machine import cpu_model, device, memory, total_memory, usable_cores
from ensemble_lab.doctor.notebooks import display, kernel
from ensemble_lab.doctor.places import fitting, place, this_python
from ensemble_lab.doctor.reach import hub, keys
from ensemble_lab.doctor.versions import (
    colab_keeps,
    dependencies,
    dependency,
    package_versions,
    python_version,
)

__all__ = [
    "Finding", "cache", "colab_keeps", "copies", "cpu_model", "data", "dependencies", "dependency",
    "device", "display", "doubled", "environment", "examine", "fitting", "healthy", "hub", "kernel",
    "keys", "memory", "model_wheel", "offline", "package_versions", "place", "python_version",
    "series", "this_python", "to_json", "to_table", "total_memory", "usable_cores",
]  # fmt: skip


def examine() -> list[Finding]:
    """Check everything: versions, device, memory, network, data and display."""
    if in_browser():
        return of_a_browser()
    reached = hub()
    total = total_memory()
    return [
        python_version(),
        place(),
        this_python(),
        *package_versions(),
        copies(),
        doubled(),
        environment(),
        series(),
        *device(),
        memory(),
        *([fitting(total)] if total else []),
        reached,
        offline(reached),
        *keys(),
        cache(),
        model_wheel(),
        data(),
        display(),
        kernel(),
    ]


def of_a_browser() -> list[Finding]:
    """What can be checked where Python runs in the page, and what cannot be had there."""
    return [
        python_version(),
        place(),
        this_python(),
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
