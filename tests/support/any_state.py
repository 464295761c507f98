"""Explorers as the tests look at them, and what each of them promises for every state."""

import json
from copy import deepcopy
from functools import cache

from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.explorers import explore

TABLES = {"votes": "mmlu-pro-29-llms", "cascade": "rafdb-services"}  # for those that need one


@cache
def shown(name, **start):
    """An explorer over the table that it is looked at with here."""
    return explore(name, lab.load_outcomes(TABLES[name]) if name in TABLES else None, **start)


def views(explorer):
    """The start and every preset, as whole states."""
    return [explorer.state(), *map(explorer.preset, explorer.presets)]


def any_setting(controls):
    """Strategy for the settings of these controls."""

    def values(control):
        one = st.sampled_from(control.options)
        return st.lists(one, min_size=1, unique=True) if control.kind == "many" else one

    return st.fixed_dictionaries({control.name: values(control) for control in controls})


def promises_kept(explorer, state, named_alike=True):
    """The same traces as at the start, finite numbers, no memory of the last state, a way back.

    Returns the picture.
    """
    picture, first = explorer.drawn(state), explorer.picture()
    forms = [(t["type"], t["name"]) for t in picture.traces]
    assert [kind for kind, _ in forms] == [t["type"] for t in first.traces]
    assert not named_alike or [name for _, name in forms] == [t["name"] for t in first.traces]
    assert len({name for _, name in forms}) == len(forms)
    dumped = json.dumps([picture.traces, picture.layout], allow_nan=False)
    again = explorer.drawn(state)
    assert dumped == json.dumps([again.traces, again.layout])
    assert explorer.read(explorer.to_json(**state)) == state
    return picture


def named(picture):
    """The traces of a picture by their names."""
    return {trace["name"]: trace for trace in picture.traces}


# -- the still figure ---------------------------------------------------------------------------


def applied(figure, step):
    """A still figure as a step of its slider leaves it, by the rules of Plotly.update."""
    traces, layout, moving = step["args"]
    found = {"data": deepcopy(figure["data"]), "layout": deepcopy(figure["layout"])}
    for path, values in traces.items():
        for at, value in zip(moving, values, strict=True):
            put(found["data"][at], path, value)
    for path, value in layout.items():
        put(found["layout"], path, value)
    return found


def put(nested, path, value):
    """Set what a dotted path leads to, or take it away where the value is None."""
    *way, last = path.split(".")
    for key in way:
        if value is None and key not in nested:
            return
        nested = nested.setdefault(key, {})
    if value is None:
        nested.pop(last, None)
    else:
        nested[last] = value
