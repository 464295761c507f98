"""Plotly's figure widget, with its code once in a kernel instead of once in every figure.

Plotly 6 and later ship the widget's code, 5 MB, as a trait of each widget: it travels to the
browser with every figure and into every notebook that is saved with its widgets. Here a figure
holds a few lines that fetch the compressed code from one `Library`, and start it once a page.
"""

from __future__ import annotations

import base64
import gzip
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets
import plotly
import plotly.graph_objects as go
import traitlets
from plotly.basedatatypes import Undefined

# A saved notebook's widgets are restored in any order: the library may come a moment later. Plotly
# draws before its element is on the page, 700 pixels wide, and looks again when the window changes;
# so it is told whenever the element's own width changes.
FETCH = """
const started = (globalThis.ensembleLabFigures ??= new Map());

async function library(manager, id, patience = 200) {
  const found = await Promise.resolve(manager.get_model(id)).catch(() => undefined);
  if (found) return found;
  if (!patience) throw new Error(`plotly's code (widget ${id}) is missing: run the cell again`);
  await new Promise((done) => setTimeout(done, 50));
  return library(manager, id, patience - 1);
}

async function start(model) {
  const id = model.get("_library").replace("IPY_MODEL_", "");
  const packed = atob((await library(model.widget_manager, id)).get("code"));
  const bytes = Uint8Array.from(packed, (c) => c.charCodeAt(0));
  const code = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const kind = { headers: { "Content-Type": "text/javascript" } };
  const address = URL.createObjectURL(await new Response(code, kind).blob());
  return import(address).finally(() => URL.revokeObjectURL(address));
}

function fitted(el) {
  let width = 0;
  const observer = new ResizeObserver(() => {
    if (el.clientWidth === width) return;
    width = el.clientWidth;
    window.dispatchEvent(new Event("resize"));
  });
  observer.observe(el);
  return () => observer.disconnect();
}

function code(model) {
  const version = model.get("_version");
  if (!started.has(version)) started.set(version, start(model));
  return started.get(version).catch((error) => {
    started.delete(version);  // the next figure may find the library
    throw error;
  });
}

const SENT = ["addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update",
  "animate", "removeLayoutProps", "removeTraceProps"].map((name) => `change:_py2js_${name}`);

export default () => {
  let own, figure, missed = false;
  const miss = () => { missed = true; };

  async function drawer() {
    const made = (await code(own.model)).default();
    if (!figure) {
      figure = made;
      SENT.forEach((name) => own.model.off(name, miss));
      figure.initialize(own);
    }
    return figure;
  }

  return {
    // A widget that takes more than two seconds here never hears of its kernel again (anywidget
    // 0.11), and the code may take longer. So it is fetched, and awaited where it draws.
    initialize(context) {
      own = context;
      SENT.forEach((name) => own.model.on(name, miss));
      code(own.model).catch(() => {});
    },
    async render(context) {
      const remove = await (await drawer()).render(context);
      if (missed) context.model.send({ missed });
      missed = false;
      const leave = fitted(context.el);
      return () => [leave, remove].forEach((end) => end?.());
    },
  };
};
"""


class Library(ipywidgets.Widget):
    """The shared part of figures: the compressed code of plotly's widget.

    It is text, since JupyterLab drops the bytes of a plain widget when it saves a notebook.
    """

    code = traitlets.Unicode().tag(sync=True)


@cache
def packed() -> str:
    """The code of plotly's widget in two fifths of its size."""
    source = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"
    return base64.b64encode(gzip.compress(source.read_bytes(), 6, mtime=0)).decode()


_libraries: list[Library] = []


def library() -> Library:
    """The kernel's library; a new one if it was closed."""
    if not _libraries or _libraries[-1].comm is None:
        _libraries[:] = [Library(code=packed())]
    return _libraries[-1]


class SharedFigure(go.FigureWidget):
    """A figure widget that takes its code from the library."""

    _esm = FETCH
    _version = traitlets.Unicode(plotly.__version__).tag(sync=True)
    _library = traitlets.Instance(Library).tag(sync=True, **ipywidgets.widget_serialization)

    def __init__(self, *args: Any, **kwargs: Any):
        self._complete = False
        super().__init__(*args, **kwargs)
        self._config = {**self._config, "displaylogo": False, "responsive": True}
        self._complete = True
        self.open()
        self.on_msg(lambda _, content, buffers: self._send_all() if "missed" in content else None)

    def open(self) -> None:
        """Tell the browser of the figure once it is complete.

        Plotly opens an empty one and sends data and layout after it. A page that draws in between,
        as on a busy machine, keeps an empty figure.
        """
        if self._complete:
            super().open()

    def _send_all(self) -> None:
        """Send the whole figure to a page that could not hear changes while it fetched the code."""
        traces = [trace.to_plotly_json() for trace in self.data]
        names = dict.fromkeys(name for trace in traces for name in trace if name != "type")
        style = {name: [trace.get(name, Undefined) for trace in traces] for name in names}
        self._send_update_msg(style, self.layout.to_plotly_json(), [*range(len(traces))])

    @traitlets.default("_library")
    def _shared(self) -> Library:
        return library()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The state for a page that is loaded again: the current figure.

        Plotly's own state is the first figure, since changes are sent as messages.
        """
        if key is None and self.comm is not None:  # the whole state, of a complete widget
            self._widget_data = [trace.to_plotly_json() for trace in self.data]
            self._widget_layout = self.layout.to_plotly_json()
        return super().get_state(key, drop_defaults)
