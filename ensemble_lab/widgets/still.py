"""The still figure: every step along one control is precomputed, so it needs no kernel.

It is stored as plain data. A report turns it into HTML with one plotly.js for the whole page; for
other exporters the first display of a notebook contains plotly.js itself, compressed.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble_lab.widgets.picture import layout
from ensemble_lab.widgets.plain import escaped, named
from ensemble_lab.widgets.style import ORACLE

if TYPE_CHECKING:
    from ensemble_lab.widgets.controls import Control
    from ensemble_lab.widgets.explorer import Explorer
    from ensemble_lab.widgets.picture import Picture

MOST_STEPS = 41
MOST_WIDE = 60  # characters of an option
DIGITS = 6  # significant digits: a screen shows no more, and a report is a third as long
SLIDER_ROOM = 90  # pixels

PAGE = """<figure style="margin: 0">
<div id="{name}" style="min-height: {height}px"></div>
<figcaption class="tex2jax_ignore mathjax_ignore">{text}</figcaption>
</figure>
<script type="application/json" id="{name}-data">{data}</script>{library}
<script>
(async () => {{
  const unpacked = async (packed) => {{
    const bytes = Uint8Array.from(atob(packed.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }};
  // A page asks nothing of the network on its own.
  const asked = () => new Promise((press) => {{
    const button = document.createElement("button");
    button.textContent = "Fetch plotly.js from cdn.plot.ly and draw the figures";
    button.onclick = () => press(button.remove());
    document.getElementById("{name}").append(button);
  }});
  const load = async () => {{
    if (window.Plotly) return;
    const packed = document.getElementById("ensemble-lab-plotly");
    const script = document.createElement("script");
    const define = window.define;  // a page with require.js would hide Plotly away
    window.define = undefined;
    if (packed) script.textContent = await unpacked(packed);
    else {{
      await asked();
      script.src = "https://cdn.plot.ly/plotly-{version}.min.js";
    }}
    const loaded = packed || new Promise((done) => (script.onload = script.onerror = done));
    document.head.append(script);
    await loaded;
    window.define = define;
  }};
  await (window.ensembleLabPlotly ??= load());
  const view = document.getElementById("{name}");
  const figure = JSON.parse(document.getElementById("{name}-data").textContent);
  Plotly.newPlot(view, figure.data, figure.layout, figure.config);
}})();
</script>
"""
LIBRARY = '\n<script type="text/plain" id="ensemble-lab-plotly">{}</script>'


def still(explorer: Explorer) -> dict[str, Any]:
    """A figure with a slider along `explorer.along`, as data for plotly.

    Returns
    -------
    dict
        ``data``, ``layout`` and ``config``, all of it JSON.
    """
    control = next(c for c in explorer.controls if c.name == explorer.along)
    start = explorer.state(**explorer.opens)
    if control.kind == "many":
        return _of(explorer, plain_figure(explorer.drawn(start)))
    options = thinned(control, start[control.name])
    pictures = [explorer.drawn({**start, control.name: option}) for option in options]
    active = options.index(start[control.name])
    figure = plain_figure(pictures[active])
    figure["layout"]["sliders"] = [slider(control, options, active, moves(pictures))]
    figure["layout"]["meta"]["text"] = f"As first shown: {pictures[active].text}"
    make_room(figure["layout"])
    return _of(explorer, figure)


def _of(explorer: Explorer, figure: dict[str, Any]) -> dict[str, Any]:
    """The figure with the explorer's name, by which a site finds it."""
    figure["layout"]["meta"]["explorer"] = explorer.name
    return figure


def plain_figure(picture: Picture) -> dict[str, Any]:
    """One picture as data for plotly."""
    import plotly.io as pio

    config = {"displaylogo": False, "responsive": True, "plotlyServerURL": ""}
    own = {**full_layout(picture), "meta": {"text": picture.text}}  # text for a page's readers
    if isinstance(own.get("template"), str):
        own["template"] = pio.templates[own["template"]].to_plotly_json()
    return {"data": plain(picture.traces), "layout": plain(own), "config": config}


def full_layout(picture: Picture) -> dict[str, Any]:
    """The layout as plotly.js takes it: as wide as there is room, axis titles as objects."""
    own = {"autosize": True, **layout(picture)}
    for name, axis in own.items():
        if name.startswith(("xaxis", "yaxis")) and isinstance(axis.get("title"), str):
            own[name] = {**axis, "title": {"text": axis["title"]}}
    return own


def thinned(control: Control, current: Any) -> list:
    """At most 41 options, evenly over the control's, the ends and the current one among them."""
    options = control.options
    if len(options) <= MOST_STEPS:
        return list(options)
    kept = set(np.linspace(0, len(options) - 1, MOST_STEPS - 1).round().astype(int).tolist())
    return [o for i, o in enumerate(options) if i in kept or o == current]


def moves(pictures: Sequence[Picture]) -> list[list]:
    """For every picture the arguments of ``Plotly.update`` that change any other into it.

    All of them name the same attributes: one that only some of them set would not be reset.
    """
    traces = [varying([p.traces[i] for p in pictures]) for i in range(len(pictures[0].traces))]
    moving = [i for i, by_picture in enumerate(traces) if by_picture[0]]
    paths = dict.fromkeys(path for i in moving for path in traces[i][0])
    fixed = {i: flat(plain(pictures[0].traces[i])) for i in moving}
    layouts = varying([full_layout(picture) for picture in pictures])
    found = []
    for at, layout_there in enumerate(layouts):
        there = [{**fixed[i], **traces[i][at]} for i in moving]
        values = {path: [trace.get(path) for trace in there] for path in paths}
        found.append([values, layout_there, moving])
    return found


def varying(dicts: Sequence[Mapping]) -> list[dict]:
    """Of each dict the paths whose values differ between the dicts, as JSON."""
    flats = [flat(plain(one)) for one in dicts]
    paths = dict.fromkeys(path for one in flats for path in one)
    columns = {path: [one.get(path) for one in flats] for path in paths}
    kept = {path: c for path, c in columns.items() if any(value != c[0] for value in c)}
    return [{path: c[i] for path, c in kept.items()} for i in range(len(dicts))]


def flat(nested: Mapping, before: str = "") -> dict[str, Any]:
    """Dotted paths to the leaves of a nested dict; a list is a leaf."""
    found = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def slider(control: Control, options: Sequence, active: int, moved: Sequence) -> dict[str, Any]:
    """Plotly's own slider; each of its steps is a move."""
    steps = [
        {"label": escaped(words(option)), "method": "update", "args": args}
        for option, args in zip(options, moved, strict=True)
    ]
    shown = {"prefix": escaped(f"{control.label}: ")}
    return {"active": active, "currentvalue": shown, "steps": steps, "bordercolor": ORACLE}


def make_room(own: dict) -> None:
    """Put the slider below the axes and their titles, in place."""
    below = own["margin"]["b"]
    own["sliders"][0]["pad"] = {"t": below}
    own["margin"] = {**own["margin"], "b": below + SLIDER_ROOM}
    own["height"] += SLIDER_ROOM


def words(option: Any) -> str:
    """The text of an option next to a control, on one line."""
    if isinstance(option, bool):
        return "yes" if option else "no"
    if isinstance(option, int):
        return f"{option:,}"
    return f"{option:g}" if isinstance(option, float) else named(option, MOST_WIDE)


def plain(value: Any) -> Any:
    """`value` as JSON: arrays as lists, few digits, what is unknown as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


# -- where plotly's data are not understood -----------------------------------------------------


def page(figure: Mapping, text: str) -> str:
    """The figure as a piece of HTML; plotly.js comes with the first piece of a notebook."""
    from plotly.offline import get_plotlyjs_version

    return PAGE.format(
        name=f"ensemble-lab-{uuid.uuid4().hex}",
        height=figure["layout"].get("height", 460),
        text=html.escape(text),
        data=json.dumps(figure).replace("<", "\\u003c"),  # no name can open or end a script
        library=LIBRARY.format(packed_library()) if carries_library() else "",
        version=get_plotlyjs_version(),
    )


@cache
def packed_library() -> str:
    """plotly.js in a third of its size."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 6)).decode()


_carrier: list = []  # the cell whose output contains plotly.js, and in which of its runs


def carries_library() -> bool:
    """Whether this display is the one of its notebook that contains plotly.js.

    It is the first display of the kernel, and again when the same cell runs again, because that
    replaces the output that contained it.
    """
    cell, run = _running()
    if _carrier and (_carrier[0] != cell or cell is None or _carrier[1] == run):
        return False
    _carrier[:] = [cell, run]
    return True


def _running() -> tuple[str | None, str | None]:
    """Identities of the running cell and of this run of it; None outside Jupyter."""
    try:
        from IPython import get_ipython

        parent = get_ipython().kernel.get_parent()
    except (ImportError, AttributeError):
        return None, None
    metadata, header = parent.get("metadata", {}), parent.get("header", {})
    return metadata.get("cellId"), header.get("msg_id")
