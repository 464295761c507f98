"""What notebooks need: a display for explorers and a kernel."""

from __future__ import annotations

import os

from ensemble_lab.doctor.finding import Finding, pip_install
from ensemble_lab.doctor.versions import colab_keeps

DISPLAYS = {
    "live": "live (plotly's FigureWidget)",
    "redraw": "redraw (ipywidgets, no live figure)",
    "still": "still figures with precomputed steps",
}
STILL = "%env ENSEMBLE_LAB_BACKEND=still, and run the cell again"


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
