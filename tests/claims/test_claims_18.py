"""What notebook 18 says of links, cuts, the bandit and pipelines, computed again."""

import nbformat
import numpy as np

import ensemble_lab as lab
from ensemble_lab.explorers.systems import split_times as times
from tests.support.claims import Claim, claims_hold, figures_are_claimed
from tests.support.processes import ROOT

NOTEBOOK = "18_split_inference"
SEEDS = range(5)
TOKEN, TRIP, RATE = 0.025, 0.05, 100e6  # seconds, seconds, bits a second
BYTES = 2 * times.WIDTH  # of a hidden state in bfloat16


def run(*ids, **known):
    """The names of some of its cells, run one after the other."""
    cells = nbformat.read(ROOT / f"notebooks/{NOTEBOOK}.ipynb", as_version=4).cells
    names = {"np": np, "lab": lab, "pd": __import__("pandas"), "seed": 0, "seeds": 5, **known}
    for cell in (cell for wanted in ids for cell in cells if cell.id == wanted):
        exec(cell.source, names)
    return names


def saved_by_8_bits():
    wide, narrow = (TOKEN + TRIP + 8 * size / RATE for size in (BYTES, times.WIDTH + 2))
    return 100 * (1 - narrow / wide)


def half_of_the_transfer():
    return bool(0.49 < (times.WIDTH + 2) / BYTES < 0.51)


def alexnet_in_a_band():
    found = run("alexnet", computing=TOKEN, width=times.WIDTH)
    cuts = [lab.best_cut(*(found[name] for name in ("device", "server", "sent")), 1e6 * mbit, 0.01)
            for mbit in (0.3, 1, 3, 5, 10, 30)]  # fmt: skip
    return cuts == [8, 8, 5, 5, 0, 0]


def language_jumps():
    found = run("alexnet", computing=TOKEN, width=times.WIDTH)["language"]
    cuts = {lab.best_cut(*found, rate, 0.01) for rate in np.geomspace(1e3, 1e9, 200)}
    return cuts == {0, 30}


def home_for_ever():
    rows = run("learn-cut", frames=1200)["rows"]
    took, home = rows["LinUCB"].T
    return bool((home == 1).all() and np.allclose(took, 1.0))


def still_on_its_way():
    rows = run("learn-cut", frames=1200)["rows"]
    took, home = rows["muLinUCB"].T
    return bool((took > 0.2).all() and (took < 0.8).all() and (home == 0).all())


def quickest_after_the_change():
    front, mbit, behind = [0, 0.3, 0.6, 1.0], np.array([1, 0.5, 0.25]), np.array([1, 0.7, 0.4])
    return min(front[:3] + mbit / 20 + behind / 10 + 0.02)


def gains_of_the_small_draft():
    rows = run("hidden", computing=TOKEN)["rows"]["chat, its own small draft (tiny)"]
    return rows["gain at 0 ms"], rows["gain at 200 ms"]


def nearer_with_the_way():
    rows = run("hidden", computing=TOKEN)["rows"].values()
    ways = np.array([[one[f"gain at {trip} ms"] for trip in (0, 50, 200)] for one in rows])
    r = np.array([one["tokens a round"] for one in rows])[:, None]
    return bool((np.diff(np.abs(ways - r), axis=1) < 0).all())


def one_text_in_the_time_of_one_machine():
    halves, whole = (lab.pipelined_decode(s, 1, 50)[0, :, 0] for s in ([1, 1], [2]))
    linked = lab.pipelined_decode([1, 1], 1, 50, 0.1)[0, :, 0]
    return bool((halves == whole).all() and (linked[1:] > whole[1:]).all())


def two_texts_keep_both_at_work():
    return bool(lab.pipelined_decode([1, 1], 2, 50)[:, -1].max() == 2 * 49 + 2)


def sooner_alone():
    found = times.answer_by_cut(bandwidth=100, trip=200, ratio=16, bits=16)
    return bool(found.argmin() == times.LAYERS)


def cache_of_a_token():
    return 30 * 2 * 3 * 64 * 2, BYTES


def twenty_times():
    cache, states = cache_of_a_token()
    return cache == 20 * states


def at_an_end():
    return all(
        {int(times.answer_by_cut(rate, trip, ratio, bits).argmin())} <= {0, times.LAYERS}
        for rate in times.BANDWIDTHS for trip in times.TRIPS for ratio in times.RATIOS
        for bits in times.BITS
    )  # fmt: skip


def tiny_hardly_notices():
    network = (model := lab.load("tiny", dtype="float32")).model.model
    long = "The old lighthouse stood by the sea, and the keeper read to the children. " * 12
    lost = run("scales", network=network, model=model, long=long)["lost"]
    return bool(len(lost) == 6 and (0 < lost.divergence).all() and (lost.divergence < 0.001).all())


def changed_in_smollm2():
    """One scale for all, and one a token; see also test_smollm2_needs_a_scale_for_each_token."""
    model, text = lab.load("smollm2", dtype="bfloat16"), "The sea is a reflection of the sky. " * 4
    return [100 * lab.cut_errors(model, text, 15, by)[0].changed for by in ("tensor", "token")]


CLAIMS = [
    Claim("8 bits save {0.06} % of it, and half of a long prompt's transfer.", saved_by_8_bits,
          0.005),
    Claim("and half of a long prompt's transfer", half_of_the_transfer),
    Claim("each token is a row of 576 numbers of 16 bits: {1,152} bytes.", lambda: BYTES),
    Claim("A row of numbers crosses in a tenth of a millisecond",
          lambda: round(1e3 * 8 * BYTES / RATE, 1) == 0.1),
    Claim("423,040 bytes, {367} times a hidden state of SmolLM2", lambda: 423_040 / BYTES, 0.5),
    Claim("it would have been a delay of {34} ms beside 50", lambda: 1e3 * 8 * 423_040 / RATE, 0.5),
    Claim("a token's cache has {23,040} bytes in 16 bits: twenty times its {1,152} bytes",
          cache_of_a_token),
    Claim("twenty times its 1,152 bytes of hidden state", twenty_times),
    Claim("So the best cut is at an end", at_an_end),
    Claim("In the middle lies a band of links for which the convolutions run on the device",
          alexnet_in_a_band),
    Claim("The language model's cut jumps from one end to the other.", language_jumps),
    Claim("it has no reason ever to look out again", home_for_ever),
    Claim("so muLinUCB is still on its way", still_on_its_way),
    Claim("the best cut, which takes {0.17} s", quickest_after_the_change, 0.005),
    Claim("slower on one machine, {0.66} times as quick, and {1.36} times as quick over a trip of"
          " 200 ms", gains_of_the_small_draft, 0.005),
    Claim("The longer the way, the nearer is the gain to $r$.", nearer_with_the_way),
    Claim("`tiny` hardly notices.", tiny_hardly_notices),
    Claim("the likeliest token at {97} % of the positions of a text, and one a token at {13} %",
          changed_in_smollm2, 5),
    Claim("compute a token in the time of one machine", one_text_in_the_time_of_one_machine),
    Claim("Only *several* texts in flight keep both at work.", two_texts_keep_both_at_work),
    Claim("a device that needs 25 ms writes the answer sooner alone", sooner_alone),
]  # fmt: skip
GIVEN = []

test_claims_hold = claims_hold(NOTEBOOK, CLAIMS)
test_figures_are_claimed = figures_are_claimed(NOTEBOOK, CLAIMS, GIVEN)
