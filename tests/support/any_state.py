"""What every explorer promises for every state."""

import json


def promises_kept(explorer, state):
    """The same traces as at the start, finite numbers, no memory of the last state, a way back.

    Returns the picture.
    """
    picture, first = explorer.draw(state), explorer.picture()
    forms = [(t["type"], t["name"]) for t in picture.traces]
    assert forms == [(t["type"], t["name"]) for t in first.traces]
    dumped = json.dumps([picture.traces, picture.layout], allow_nan=False)
    again = explorer.draw(state)
    assert dumped == json.dumps([again.traces, again.layout])
    assert explorer.read(explorer.to_json(**state)) == state
    return picture
