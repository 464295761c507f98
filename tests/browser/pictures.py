"""The README's pictures: a panel of a notebook, dragged to where it tells something, and figures.

Run ``python -m tests.browser.pictures`` from the repository; it writes ``docs/*.png``, and the
picture in the title cell of the first notebook, which is there before anything runs.
"""

import re
import shutil
import sys
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import nbformat

from ensemble_lab.explorers import explore
from ensemble_lab.reports.vector import WIDTH, svg
from ensemble_lab.widgets.still import plain_figure
from tests.browser.jupyter import ROOT, kernel_environment, open_page, serve, without_network
from tests.browser.steps import HANDLE, TITLE, finished, panels, run_all, settled

MOST_PRESSES = 110
AROUND = 6  # pixels around the panel
REACHES = "(panel, [x, y]) => panel.contains(document.elementFromPoint(x, y))"


@dataclass(frozen=True)
class Scene:
    """A panel of a notebook, and how its slider gets to the place to be shown.

    Parameters
    ----------
    notebook : str
    start, key : str
        The keys that bring the slider to one end, and one option on from there.
    title : str
        A pattern: the slider stops where the title first has it.
    """

    notebook: str
    start: str
    key: str
    title: str


SCENES = {
    "start_here": Scene("00_start_here", "Home", "ArrowRight", "as right as|better than"),
}
# Explorers, each with a preset or as it opens.
DRAWN = {"speedup": ("speedup", None), "retry_storm": ("serving", "retry storm")}


TITLED = ROOT / "notebooks/00_start_here.ipynb"
TITLE_STATE = {"task": "faces", "share": 65}  # another task than the one to be guessed
TITLE_WORDS = """The more faces go to Microsoft, the more answers are right; the line of the two
models passes Microsoft alone at about half of its price."""
IN_TITLE = re.compile(r"!\[[^\]]*\]\(data:[^)]*\)")
UNTITLED = 56  # pixels
MOST = 60_000  # characters of the picture in the title cell


def title_picture(page):
    """The first notebook's picture, as Markdown that carries it."""
    picture = explore("escalate").picture(**TITLE_STATE)
    page.set_viewport_size({"width": WIDTH, "height": 500})
    page.set_content(f"<body style='margin: 0'>{svg(plain_figure(picture))}</body>")
    box = page.locator("svg").bounding_box()  # the words below the picture say what its title says
    clip = {"x": 0, "width": WIDTH, "y": UNTITLED, "height": box["height"] - UNTITLED}
    image = b64encode(page.screenshot(clip=clip)).decode()
    return f"![{' '.join(TITLE_WORDS.split())}](data:image/png;base64,{image})"


def into_title(page, path):
    """Put the picture into the title cell.

    Raises
    ------
    RuntimeError
        It is too large for a notebook, or the cell has no place for it.
    """
    notebook, picture = nbformat.read(path, as_version=4), title_picture(page)
    source, count = IN_TITLE.subn(lambda _: picture, notebook.cells[0].source)
    if len(picture) > MOST or count != 1:
        raise RuntimeError(f"{path.name}: {len(picture):,} characters in {count} places")
    notebook.cells[0].source = source
    nbformat.write(notebook, path)


def draw(page, name, path):
    """The figure of an explorer, without its controls."""
    explorer, preset = explore(DRAWN[name][0]), DRAWN[name][1]
    state = explorer.preset(preset) if preset else explorer.state()
    page.set_viewport_size({"width": WIDTH, "height": 500})
    page.set_content(
        f"<body style='margin: 0'>{svg(plain_figure(explorer.picture(**state)))}</body>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    page.locator("svg").screenshot(path=path)


def take(page, scene, path):
    """Drag the panel's slider to its place and save the panel, down to the end of its figure.

    Raises
    ------
    RuntimeError
        No option of the slider gives such a title, or the page is too low for the panel.
    """
    panel = panels(page).first
    drag(page, panel, scene)
    panel.evaluate("(panel) => panel.scrollIntoView({block: 'start'})")
    page.mouse.move(0, 0)  # nothing is hovered
    around, figure = panel.bounding_box(), panel.locator(".js-plotly-plot").first.bounding_box()
    bottom = figure["y"] + figure["height"]
    if not panel.evaluate(REACHES, [figure["x"] + figure["width"] / 2, bottom - 1]):
        raise RuntimeError(f"{scene.notebook}: the figure's end at {bottom:.0f} px is not in sight")
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = {"x": around["x"] - AROUND, "width": around["width"] + 2 * AROUND}
    clip |= {"y": around["y"] - AROUND, "height": bottom - around["y"] + 2 * AROUND}
    page.screenshot(path=path, clip=clip)


def drag(page, panel, scene):
    """To one end of the slider, and on until the title is the one that is looked for."""
    title = panel.locator(TITLE).first.text_content()
    panel.locator(HANDLE).first.focus()
    for key in [scene.start, *[scene.key] * MOST_PRESSES]:
        page.keyboard.press(key)
        title, _ = settled(page, panel, title, seconds=1.0)
        if key == scene.key and re.search(scene.title, title):
            return
    raise RuntimeError(f"no place on the slider has a title like {scene.title!r}; last {title!r}")


def main(folder):
    """Write every picture into `folder`, and the one of the first notebook into that."""
    with open_page() as page:
        into_title(page, TITLED)
        for name in DRAWN:
            draw(page, name, folder / f"{name}.png")
    for name, scene in SCENES.items():
        notebook = f"{scene.notebook}.ipynb"
        with tempfile.TemporaryDirectory() as place, open_page() as page:
            shutil.copy(ROOT / "notebooks" / notebook, place)
            with serve(Path(place), notebook, kernel_environment("live")) as address:
                run_all(without_network(page), address)
                finished(page)
                take(page, scene, folder / f"{name}.png")
        print(f"{folder / name}.png: {(folder / f'{name}.png').stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs")
