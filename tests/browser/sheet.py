"""A sheet of all explorers' figures: the start, each preset and both ends of each slider.

Run ``python -m tests.browser.sheet FOLDER`` from the repository; it writes PNGs and an
``index.html`` that shows them, and says which texts lie on others. Two runs, before a change and
after it, can be looked at side by side.
"""

import html
import sys
from pathlib import Path

import ensemble_lab as lab
from ensemble_lab.explorers import explore
from ensemble_lab.explorers.explore import EXPLORERS
from ensemble_lab.widgets.still import plain_figure
from tests.browser.jupyter import chromium
from tests.browser.steps import OVERLAPS

WIDTHS = (848, 1008)  # of a cell of JupyterLab at 1280 and at 1440 pixels, its file list open
TABLES = {"votes": "mmlu-pro-29-llms", "cascade": "rafdb-services"}  # for those that need one


def states(explorer):
    """What each state is called, and the state."""
    found = {"start": explorer.state()}
    found |= {f"preset {title}": explorer.preset(title) for title in explorer.presets}
    for control in explorer.controls:
        if control.kind == "steps":
            for option in (control.options[0], control.options[-1]):
                found[f"{control.name} {option}"] = explorer.state(**{control.name: option})
    return found


def main(folder, names):
    """Draw the figures of these explorers into `folder`; 1 where texts lie on others."""
    from plotly.offline import get_plotlyjs

    folder.mkdir(parents=True, exist_ok=True)
    shown, faults = [], 0
    with chromium() as browser:
        page = browser.new_page(viewport={"width": max(WIDTHS), "height": 800})
        page.set_content("<style>body { margin: 0 }</style><div id='figure'></div>")
        page.add_script_tag(content=get_plotlyjs())
        place = page.locator("#figure")
        for name in names:
            table = (lab.load_outcomes(TABLES[name]),) if name in TABLES else ()
            explorer = explore(name, *table)
            shown.append(f"<h2>{name}</h2>")
            for i, (title, state) in enumerate(states(explorer).items()):
                figure = plain_figure(explorer.drawn(state))
                for width in WIDTHS:
                    draw = f"f => Plotly.newPlot('figure', f.data, {{...f.layout, width: {width}}})"
                    page.evaluate(draw, figure)
                    page.wait_for_timeout(50)
                    for pair in page.locator("body").evaluate(OVERLAPS):
                        faults += 1
                        print(f"{name}, {title}, {width} px: {pair}")
                    if width == WIDTHS[0]:
                        place.screenshot(path=folder / f"{name}-{i}.png")
                words = html.escape(title)
                shown.append(
                    f"<figure><figcaption>{words}</figcaption><img src='{name}-{i}.png'></figure>"
                )
    look = "<style>figure { display: inline-block; margin: 4px } img { width: 600px }</style>"
    (folder / "index.html").write_text(f"<!DOCTYPE html><meta charset=utf-8>{look}{''.join(shown)}")
    print(f"{len(shown)} entries in {folder / 'index.html'}, {faults} pairs of texts overlap")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:] or list(EXPLORERS)))
