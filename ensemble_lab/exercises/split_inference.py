"""Checks of notebook 18: the best cut, what a lost stage needs, speculation over the link."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: the best cut -------------------------------------------------------------------------------


def _totals(
    front: Callable = lambda device, server, p: device[:p].sum(),
    link: Callable = lambda sent, bandwidth, trip, p, n: (
        8 * sent[p] / bandwidth + trip if p < n else 0
    ),
    behind: Callable = lambda device, server, p: server[p:].sum(),
) -> Callable:
    """Seconds of each cut, with parts exchanged."""

    def totals(device, server, sent, bandwidth, round_trip) -> np.ndarray:
        n = len(device)
        return np.array([
            front(device, server, p) + link(sent, bandwidth, round_trip, p, n)
            + behind(device, server, p) for p in range(n + 1)
        ])  # fmt: skip

    return totals


_right = _totals()


def _cut(totals: Callable = _right, pick: Callable = np.argmin) -> Callable:
    return lambda device, server, sent, bandwidth, round_trip: int(
        pick(totals(device, server, sent, bandwidth, round_trip))
    )


def _least(totals: Callable = _right) -> Callable:
    return lambda device, server, sent, bandwidth, round_trip, *known: float(
        totals(device, server, sent, bandwidth, round_trip).min()
    )


_PAYS = _totals(link=lambda sent, rate, trip, p, n: 8 * sent[min(p, n - 1)] / rate + trip)
_BYTES = _totals(link=lambda sent, rate, trip, p, n: sent[p] / rate + trip if p < n else 0)
_NO_TRIP = _totals(link=lambda sent, rate, trip, p, n: 8 * sent[p] / rate if p < n else 0)
_ONLY_TRIP = _totals(link=lambda sent, rate, trip, p, n: trip if p < n else 0)
_TWICE = _totals(link=lambda sent, rate, trip, p, n: 8 * sent[p] / rate + 2 * trip if p < n else 0)
_BEFORE = _totals(link=lambda sent, rate, trip, p, n: (
    8 * sent[max(p - 1, 0)] / rate + trip if p < n else 0))  # fmt: skip
_AFTER = _totals(link=lambda sent, rate, trip, p, n: (
    8 * sent[min(p + 1, n - 1)] / rate + trip if p < n else 0))  # fmt: skip
_ALL = _totals(behind=lambda device, server, p: server.sum() if p < len(server) else 0)
_SWAPPED = _totals(lambda device, server, p: server[:p].sum(),
                   behind=lambda device, server, p: device[p:].sum())  # fmt: skip

# What goes wrong in the times shows in both parts.
TIME_MISTAKES = (
    (_PAYS, "If all layers are on the device, what crosses the link, and who waits for it?"),
    (_BYTES, "Are the sizes in bytes and the bandwidth in bits?"),
    (_NO_TRIP, "Does a message of no size arrive at once?"),
    (_ONLY_TRIP, "Do the bytes themselves take time on the link?"),
    (_TWICE, "The round trip is there and back already. How many of them does a pass need?"),
    (_BEFORE, "Which layer's input crosses: that of the last layer on the device, or the next?"),
    (_AFTER, "Which layer's input crosses, if the device runs the first p layers?"),
    (_ALL, "Does the server also compute the layers that the device has done?"),
    (_SWAPPED, "Who runs the first layers: the device, or the server?"),
)  # fmt: skip
CUT_MISTAKES = (
    *((_cut(totals), question) for totals, question in TIME_MISTAKES),
    (lambda device, server, sent, *rest: int(sent.argmin()),
     "There are few bytes at this cut. Is its whole pass the shortest?"),
    (_cut(pick=np.argmax), "Is the longest time the best one?"),
    (_cut(pick=lambda t: t[:-1].argmin()), "May the device run all layers alone?"),
    (_cut(pick=lambda t: 1 + t[1:].argmin()), "May the server run all layers?"),
    (_cut(pick=lambda t: t.argmin() + 1), "Is your cut the number of layers on the device?"),
)  # fmt: skip
SECONDS_MISTAKES = tuple((_least(totals), question) for totals, question in TIME_MISTAKES)


def _networks():
    """Data that shrink or grow, slow and quick links, a server that is slower than the device."""
    rng = draws(18)
    shrink = np.sort(rng.uniform(2e3, 2e5, 7))[::-1].round()
    device = rng.uniform(0.01, 0.06, 7).round(3)
    yield device, (device / 8).round(4), shrink, 5e6, 0.02
    yield device, (device / 8).round(4), shrink, 4e4, 0.05
    yield device[:5], (device[:5] / 3).round(4), shrink[2:][::-1].copy(), 2e8, 0.01
    yield device, (device / 4).round(4), rng.uniform(1e4, 1e5, 7).round(), 3e6, 0.04
    yield device[:6], (device[:6] / 5).round(4), shrink[:6], 2e6, 0.004
    yield device, (device / 5).round(4), shrink[[3, 4, 0, 1, 6, 2, 5]], 8e6, 0.09
    yield device, (device * 1.5).round(4), shrink, 5e6, 0.02
    yield (
        device,
        (device / 20).round(4),
        np.array([9e5, 8e4, 2e4, 19e3, 18e3, 17e3, 16e3]),
        9e6,
        0.01,
    )


def _of_link(what: str) -> Callable[..., str]:
    return lambda at, device, server, sent, bandwidth, round_trip, *known: (
        f"for {len(device)} layers, {bandwidth / 1e6:g} Mbit/s and a round trip of"
        f" {1e3 * round_trip:g} ms, {what}"
    )


check_cut = Check(
    """Check a function that finds the best cut of a network between a device and a server.

    It takes ``(device, server, sent, bandwidth, round_trip)``: the seconds of each of n layers on
    the device and on the server, (n,) each; the bytes that go into each layer, (n,); bits a second;
    and the seconds of a round trip without the bytes. What comes back has no size. It returns
    (cut, seconds): how many layers the device runs, 0 to n, and the seconds of that pass.
    """,
    cases=_networks,
    parts=[
        Part("the cut", _cut(), CUT_MISTAKES, _of_link("the number of layers on the device"),
             key="cut"),
        Part("the seconds", _least(), SECONDS_MISTAKES, _of_link("the seconds of the best cut"),
             key="seconds"),
    ],
    success="the middle is best only where the data have shrunk before the server's speed is lost;"
    " in a transformer they never shrink",
)  # fmt: skip

# -- 2: what a lost stage needs --------------------------------------------------------------------


def _again(
    rows: Callable = lambda prompt, new: prompt + new - 1,
    a_row: Callable = lambda layers, width, itemsize: np.full(len(layers), width * itemsize),
    to: Callable = lambda lost: lost,
) -> Callable:
    """Bytes for each stage, with parts exchanged."""

    def again(prompt, new, layers, width, itemsize, lost) -> np.ndarray:
        return rows(prompt, new) * a_row(layers, width, itemsize) * to(lost)

    return again


def _redone(
    rows: Callable = lambda prompt, new: prompt + new - 1,
    who: Callable = lambda layers, lost: int(layers[lost].sum()),
) -> Callable:
    return lambda prompt, new, layers, width, itemsize, lost, *known: int(
        rows(prompt, new) * who(layers, lost)
    )


def _behind(lost) -> np.ndarray:
    """The first that is lost, and all after it."""
    return np.maximum.accumulate(lost)


RESENT_MISTAKES = (
    (_again(lambda prompt, new: prompt + new),
     "The newest token has been chosen. Has any stage read it already?"),
    (_again(lambda prompt, new: prompt), "Has the stage read only the prompt?"),
    (_again(lambda prompt, new: new), "Does the new stage know the prompt?"),
    (_again(lambda prompt, new: new - 1), "Does the new stage know the prompt?"),
    (_again(lambda prompt, new: 1),
     "A stage without the earlier inputs cannot attend to them. Is the newest one enough?"),
    (_again(a_row=lambda layers, width, itemsize: 2 * layers * width * itemsize),
     "That is the cache: keys and values of every layer. What is it computed from?"),
    (_again(a_row=lambda layers, width, itemsize: layers * width * itemsize),
     "Does each layer get its input from the client, or only the stage's first layer?"),
    (_again(a_row=lambda layers, width, itemsize: np.full(len(layers), width)),
     "Are these numbers, or bytes?"),
    (_again(a_row=lambda layers, width, itemsize: np.full(len(layers), itemsize)),
     "Those are token ids. What comes into a stage: a token's id, or its hidden state?"),
    (_again(to=_behind), "Have the stages behind the lost one forgotten anything?"),
    (_again(to=lambda lost: _behind(lost[::-1])[::-1]),
     "Do the stages before the lost one have to compute its inputs again, or are they kept?"),
    (_again(to=lambda lost: np.ones_like(lost)), "Has every stage forgotten the text?"),
    (_again(to=lambda lost: ~lost), "Who needs the inputs: the new stage, or the others?"),
    (_again(to=lambda lost: np.zeros_like(lost)), "Where is the cache of a process that died?"),
    (_again(to=lambda lost: np.arange(len(lost)) == lost.argmax()),
     "May more than one stage be lost?"),
)  # fmt: skip
REDONE_MISTAKES = (
    (_redone(who=lambda layers, lost: int(layers.sum())),
     "Does the whole model read the text again, or only the layers that were lost?"),
    (_redone(who=lambda layers, lost: int(layers[_behind(lost)].sum())),
     "Do the stages behind the lost one compute anything again?"),
    (_redone(who=lambda layers, lost: int(lost.sum())),
     "How many layers does the new stage have?"),
    (_redone(who=lambda layers, lost: int(layers[lost][:1].sum())),
     "May more than one stage be lost?"),
    (_redone(lambda prompt, new: prompt + new), "Is the newest token computed again, or anew?"),
    (_redone(lambda prompt, new: 1), "How many tokens go through each of these layers?"),
    (_redone(lambda prompt, new: prompt), "Were the new tokens read by the lost layers, too?"),
    (lambda *case: 0, "The inputs are sent again. Does anybody compute the cache from them?"),
)  # fmt: skip


def _lost():
    yield 12, 5, np.array([10, 12, 8]), 576, 2, np.array([False, True, False])
    yield 100, 1, np.array([15, 15]), 576, 4, np.array([True, False])
    yield 7, 20, np.array([2, 9, 4, 6]), 128, 2, np.array([False, True, False, True])
    yield 3, 9, np.array([4, 5]), 64, 1, np.array([False, True])


def _of_text(what: str) -> Callable[..., str]:
    return lambda at, prompt, new, layers, width, itemsize, lost, *known: (
        f"for {prompt} prompt tokens, {new} new ones and stages of {layers.tolist()} layers, with"
        f" stage {' and '.join(map(str, np.flatnonzero(lost)))} lost, {what}"
        + (f" {at[0]}" if at else "")
    )


check_recovery = Check(
    """Check a function that says what must be sent and computed again after stages were lost.

    It takes ``(prompt, new, layers, width, itemsize, lost)``: the tokens of the prompt; the new
    tokens so far, the last of which was just chosen and has not been read by any stage; how many
    layers each of s stages has, (s,); the numbers of a hidden state and the bytes of each; and
    which stages are lost at this moment, (s,). The client has kept all inputs of all stages. It
    returns (resent, again): the bytes of inputs that each stage gets a second time, (s,), headers
    aside; and how many times a token goes through a layer a second time.
    """,
    cases=_lost,
    parts=[
        Part("the bytes", _again(), RESENT_MISTAKES, _of_text("the bytes to stage"),
             key="resent", asked="{} numbers of bytes, one a stage"),
        Part("the work", _redone(), REDONE_MISTAKES,
             _of_text("the passes of a token through a layer"), key="again"),
    ],
    success="inputs are enough: they are smaller than the cache, and the cache can be computed"
    " from them",
)  # fmt: skip

# -- 3: speculation over the link ------------------------------------------------------------------


def _rounds(
    draft: Callable = lambda draft, gamma: draft * gamma,
    trips: Callable = lambda accepted, gamma: 1.0,
    tokens: Callable = lambda accepted, gamma: accepted + 1,
) -> Callable:
    """Seconds a token over all rounds, with parts exchanged."""

    def seconds(accepted, gamma, draft_step, verify, step, round_trip) -> float:
        one = draft(draft_step, gamma) + verify + trips(accepted, gamma) * round_trip
        all_rounds = np.broadcast_to(one, accepted.shape).sum()
        return float(all_rounds / np.broadcast_to(tokens(accepted, gamma), accepted.shape).sum())

    return seconds


_spoken = _rounds()


def _mean_of_rounds(accepted, gamma, draft, verify, step, round_trip) -> float:
    return float(((gamma * draft + verify + round_trip) / (accepted + 1)).mean())


def _gain(plain: Callable, upside_down: bool = False) -> Callable:
    def gain(accepted, gamma, draft, verify, step, trip, *known) -> float:
        found = plain(step, verify, trip) / _spoken(accepted, gamma, draft, verify, step, trip)
        return 1 / found if upside_down else found

    return gain


SPOKEN_MISTAKES = (
    (_rounds(tokens=lambda accepted, gamma: accepted),
     "After the accepted ones the target adds a token of its own. Does your round count it?"),
    (_rounds(tokens=lambda accepted, gamma: gamma),
     "Are all drafted tokens accepted?"),
    (_rounds(tokens=lambda accepted, gamma: gamma + 1), "Are all drafted tokens accepted?"),
    (_rounds(tokens=lambda accepted, gamma: 1), "How many tokens does a round give?"),
    (_rounds(trips=lambda accepted, gamma: 0.0), "Where is the link?"),
    (_rounds(trips=lambda accepted, gamma: 0.5),
     "The draft goes to the target. Does the answer come back without a link?"),
    (_rounds(trips=lambda accepted, gamma: 2.0), "How many round trips does a round need?"),
    (_rounds(trips=lambda accepted, gamma: accepted + 1),
     "Does every token cross the link by itself, or do those of a round go together?"),
    (_rounds(trips=lambda accepted, gamma: gamma + 1.0),
     "The draft runs on the device. What crosses the link while it writes?"),
    (_rounds(trips=lambda accepted, gamma: float(gamma)),
     "The draft runs on the device. What crosses the link while it writes?"),
    (_rounds(draft=lambda draft, gamma: draft),
     "How many steps does the draft make in a round?"),
    (_rounds(draft=lambda draft, gamma: 0.0), "Does the draft take no time?"),
    (_mean_of_rounds,
     "Your rounds count alike. Which is asked: a mean over rounds, or over tokens?"),
    (lambda accepted, gamma, draft, verify, step, trip:
        float(_spoken(accepted, gamma, draft, step, step, trip)),
     "Does the target read a draft in the time of one token?"),
)  # fmt: skip
GAIN_MISTAKES = (
    (_gain(lambda step, verify, trip: step),
     "Does the plain way cross the link for every token, too?"),
    (_gain(lambda step, verify, trip: verify.mean() + trip),
     "How long does the target take for one token alone?"),
    (_gain(lambda step, verify, trip: step + trip / 2),
     "Does a plain token go only one way?"),
    (_gain(lambda step, verify, trip: trip), "Does the target compute nothing?"),
    (_gain(lambda step, verify, trip: step + trip, upside_down=True),
     "Is a ratio above 1 quicker, or slower?"),
    (lambda accepted, *rest: float(accepted.mean() + 1),
     "These are the tokens of a round. How much longer is a round than a plain token?"),
)  # fmt: skip


def _runs():
    rng = draws(181)
    for n, gamma, draft, verify, step, trip in (
        (8, 4, 0.004, 0.031, 0.025, 0.05), (6, 2, 0.006, 0.027, 0.025, 0.0),
        (9, 6, 0.003, 0.040, 0.030, 0.2),
    ):  # fmt: skip
        accepted = rng.integers(0, gamma + 1, n)
        yield accepted, gamma, draft, (verify + rng.uniform(0, 0.01, n)).round(4), step, trip


def _of_rounds(what: str) -> Callable[..., str]:
    return lambda at, accepted, gamma, draft, verify, step, trip, *known: (
        f"for rounds that accept {accepted.tolist()} of {gamma} drafted tokens, and a round trip of"
        f" {1e3 * trip:g} ms, {what}"
    )


check_speculation = Check(
    """Check a function that times a token with speculation over a link.

    It takes ``(accepted, gamma, draft, verify, step, round_trip)``: how many drafted tokens each of
    n rounds accepted, (n,), of `gamma`; the seconds of one step of the draft, which runs on the
    device; the seconds in which the target, behind the link, read the draft of each round, (n,);
    those of one plain step of the target; and the seconds of a round trip. Bytes are too few to
    count. It returns (seconds, gain): the mean seconds a token, over all tokens, and how many times
    as quick that is as plain decoding over the same link.
    """,
    cases=_runs,
    parts=[
        Part("the seconds", _spoken, SPOKEN_MISTAKES, _of_rounds("the seconds a token"),
             key="seconds"),
        Part("the gain", _gain(lambda step, verify, trip: step + trip), GAIN_MISTAKES,
             _of_rounds("the gain over plain decoding"), key="gain"),
    ],
    success="the longer the way, the nearer is the gain to the tokens of a round: they share the"
    " trip",
)  # fmt: skip
