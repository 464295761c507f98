"""Names that a page, plotly, a formula or a terminal would obey, for every explorer."""

from dataclasses import replace
from importlib import import_module
from inspect import signature

import numpy as np

import ensemble_lab as lab
from ensemble_lab.explorers import explore
from ensemble_lab.explorers.explore import EXPLORERS
from ensemble_lab.tokens.traces import Place, Trace, TracedRound

NAMES = (
    '<img src="http://127.0.0.1:9/evil" onerror="window.evil=1">',
    '<a href="http://127.0.0.1:9/evil">evil</a>',
    '<span style="cursor:url(http://127.0.0.1:9/evil),auto">evil</span>',
    "</script><script>window.evil=1</script>",
    '<a href="javascript:window.evil=1">evil</a><extra>evil</extra>',
    "%{y} evil %{meta.text} %{fullData.name}",
    r"evil $\href{javascript:window.evil=1}{x}$ $$x^2$$ \(y\)",
    "evil &lt;b&gt; &amp; <b>bold</b><br>line<sub>2</sub>",
    "evil\nline\r\x1b[31m\x00\u202edlrow\u2028end",
    "evil" + "<b>" * 400,
)
COUNT = len(NAMES)


def table(names=NAMES, n=40, items=None, labels=None):
    """Every model, item and label has one of the names; later models are more right."""
    rng, m = np.random.default_rng(0), len(names)
    truth = rng.integers(0, m, n)
    right = rng.random((n, m)) < np.linspace(0.4, 0.9, m)
    answer = np.where(right, truth[:, None], (truth[:, None] + 1) % m)
    return lab.Outcomes(
        models=list(names),
        items=np.array(
            [f"{names[i % m]}{i}" for i in range(n)] if items is None else items, object
        ),
        correct=right * 1.0,
        answer=answer,
        labels=tuple(names if labels is None else labels),
        truth=truth,
        confidence=np.clip(rng.normal(0.5 + 0.2 * right, 0.2), 0, 1),
        cost=np.geomspace(0.001, 0.1, m) * np.ones((n, m)),
        features={names[0]: rng.normal(size=n)},
        group=np.array([names[i % m] for i in range(n)], object),
    )


def traces(names=NAMES):
    """A trace for each name: its prompt, draft, target and tokens."""
    found = []
    for i, prompt in enumerate(names[:2]):
        words = tuple((names[i:] + names[:i])[:5])
        distribution = (0.5, 0.2, 0.1, 0.1, 0.1)
        places = [
            Place(
                words[0], "accepted", words[0], 0.1, 0.2, words, distribution, distribution[::-1]
            ),
            Place(
                words[1], "corrected", words[2], 0.9, 0.2, words, distribution, distribution[::-1]
            ),
            Place(words[3], "bonus", None, None, 0.0, words, distribution, (0.0,) * 5),
        ]
        first = TracedRound((words[0], words[2], words[4]), 1, tuple(places[:2]))
        last = TracedRound(tuple(words[:1]), 1, (replace(places[0], r=None), places[2]))
        found.append(Trace(prompt, names[2], names[3], 3, 0.7, "".join(words), (first, last)))
    return found


def pairs(names=NAMES):
    return {name: {"alpha": 0.1 + 0.05 * i, "c": 0.2} for i, name in enumerate(names)}


def explorers(what, names=NAMES):
    """One or more explorers of that kind, which show every name between them."""
    if not signature(import_module(EXPLORERS[what]).explorer).parameters:  # it names nothing
        return [explore(what)]
    if what == "rounds":
        return [explore(what, traces(names))]
    if what == "speedup":
        return [explore(what, pairs(names))]
    whole = table(names)
    if what in ("escalate", "routing"):
        couples = zip(names[::2], names[1::2], strict=True)
        return [explore(what, whole.select(models=list(couple))) for couple in couples]
    if what == "votes":  # few have check boxes and names on the heat map
        return [explore(what, whole)]
    chains = zip(names, names[1:] + names[:1], names[2:] + names[:2], strict=True)
    return [explore(what, whole, small=a, middle=b, big=c) for a, b, c in list(chains)[::3]]


def aimed(port):
    """The names, which ask a server on this machine's `port` for something."""
    return tuple(name.replace("127.0.0.1:9/", f"127.0.0.1:{port}/") for name in NAMES)


def show(port):
    """Display one explorer of each kind that names something, in a notebook."""
    from IPython.display import display

    for what in ("votes", "cascade", "escalate", "routing", "speedup", "rounds"):
        display(explorers(what, aimed(port))[0])
