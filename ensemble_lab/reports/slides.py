"""Slides: a page that is shown one section at a time, with the arrow keys.

The page stays a page. Each heading of the first or second level begins a slide, which fills at
least the window; a longer one is scrolled. Without scripts it is read from top to bottom.
"""

from __future__ import annotations

DECK = """<style>
main { font-size: 1.2em; }
.place { position: fixed; right: 1rem; bottom: .6rem; color: #595959; }
@media print { .place { display: none; } }
</style>
<script nonce="NONCE">
addEventListener("load", () => {
  const headed = (cell) => cell.querySelector(".jp-MarkdownOutput > :is(h1, h2)");
  const starts = [...document.querySelectorAll("main > .jp-Cell")].filter(headed);
  if (!starts.length) return;
  const place = document.body.appendChild(document.createElement("div"));
  place.className = "place";
  const top = (cell) => cell.getBoundingClientRect().top + scrollY;
  let at = 0;
  const show = () => {
    scrollTo(0, top(starts[at]));
    place.textContent = `${at + 1} / ${starts.length}`;
  };
  const fill = () => {
    for (const cell of starts) cell.style.marginTop = "";
    for (const [i, cell] of starts.entries()) {
      const lack = i ? innerHeight - (top(cell) - top(starts[i - 1])) : 0;
      if (lack > 0) cell.style.marginTop = `${lack}px`;
    }
    document.querySelector("main").style.paddingBottom = `${innerHeight}px`;
    show();
  };
  const steps = {ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1};
  addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    event.preventDefault();
    at = Math.min(Math.max(at + step, 0), starts.length - 1);
    show();
  });
  addEventListener("resize", fill);
  fill();
});
</script>"""


def as_slides(page: str, nonce: str) -> str:
    """The page with what turns it into slides; `nonce` is the one of the page's own scripts."""
    before, end, after = page.rpartition("</body>")
    return before + DECK.replace("NONCE", nonce) + end + after
