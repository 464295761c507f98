"""What every explorer promises for every state."""

import json


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
