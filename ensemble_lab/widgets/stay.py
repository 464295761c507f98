"""`stay_here`: after *Run All* the page shows the figure, not the last cell.

JupyterLab and Notebook 7 go to the last cell of those that they run. A script next to the figure
scrolls back, once, unless the reader has scrolled or clicked meanwhile. Where there is no such
page, or a saved one is opened later, it does nothing.
"""

from __future__ import annotations

import time
import uuid

from ensemble_lab.widgets.backends import attended

SCRIPT = """<div id="{name}"></div>
<script>
(() => {{
  const began = {began};  // milliseconds
  if (Math.abs(Date.now() - began) > 120000) return;  // a saved page
  let own = false;  // the reader moves about
  const acts = ["wheel", "pointerdown", "keydown", "touchmove"];
  const stop = () => {{ own = true; }};
  for (const act of acts) window.addEventListener(act, stop, {{capture: true, passive: true}});
  let until = performance.now() + 60000;  // for the figure to be drawn
  const look = () => {{
    const here = document.getElementById("{name}");
    const pane = (here ?? document).closest?.(".jp-WindowedPanel-outer")
      ?? document.querySelector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer");
    if (!pane || own || performance.now() > until) {{
      for (const act of acts) window.removeEventListener(act, stop, {{capture: true}});
      return;
    }}
    const figure = here?.closest(".jp-Cell")?.querySelector(".jp-Cell-outputWrapper");
    if (figure) {{
      const drawn = figure.querySelector(".main-svg") ? 3000 : 60000;
      until = Math.min(until, performance.now() + drawn);
      const [box, view] = [figure, pane].map((element) => element.getBoundingClientRect());
      // The end of the figure at the end of the pane; if it is taller, its begin at the begin.
      const move = box.height < view.height ? box.bottom - view.bottom : box.top - view.top;
      if (Math.abs(move) > 2) pane.scrollTop += move;
    }} else pane.scrollTop = 0;  // a pane holds the cells in sight only
    setTimeout(look, 250);
  }};
  look();
}})();
</script>"""


def stay_here() -> None:
    """Let a notebook that runs all its cells come back to this cell's output.

    Nothing is displayed without a reader: in reports and tests.
    """
    if not attended():
        return
    from IPython.display import HTML, display

    name = f"ensemble-lab-stay-{uuid.uuid4().hex}"
    display(HTML(SCRIPT.format(name=name, began=round(1000 * time.time()))))
