"""What notebook 07 says of pairs and rules, worked out again from what was recorded."""

from fractions import Fraction

import nbformat
import numpy as np

from ensemble_lab.explorers.tokens import together_replay as replay
from tests.support.claims import Claim, claims_hold, figures_are_claimed
from tests.support.processes import ROOT

NOTEBOOK = "07_models_that_decode_together"
DRAFT, COPY = replay.PAIRS[:2]


def setting(rule, alpha, rollback=12):
    return replay.Setting(rule, alpha, rollback)


def differ(pair, kind=None):
    """Per cent of the places, of a kind, at which the first choices differ."""
    at = replay.places(pair)
    which = at.kind >= 0 if kind is None else at.kind == replay.KINDS.index(kind)
    return 100 * (1 - at.same[which].mean())


def missed_most():
    """Longer words among the kinds of more than a tenth of the places, and these are three."""
    share = np.bincount(replay.places(COPY).kind.astype(int)) / len(replay.places(COPY).kind)
    common = [kind for kind, part in zip(replay.KINDS, share, strict=True) if part > 0.1]
    assert set(common) == {"short word", "longer word", "sign"}
    return all(
        max(common, key=lambda k: differ(pair, k)) == "longer word" for pair in (DRAFT, COPY)
    )


def caught(pair, score):
    """Per cent of the places where they differ that are in the fifth with the least score."""
    at = replay.places(pair)
    order = np.argsort(score(at), kind="stable")[: int(0.2 * len(at.q))]
    return 100 * (at.same[order] == 0).sum() / (at.same == 0).sum()


def sure(at):
    return at.q


def knowing(at):
    return at.same


def v3_and_chow():
    """Shares in per cent: of the copy, other tokens; and Chow's where the copy writes as much."""
    one = replay.shares(COPY, setting("V3", 0.1))
    chow = np.interp(one.small, *replay.frontier(COPY, "Chow", 12))
    return 100 * np.array([one.small, one.other, chow])


def diff():
    one = replay.shares(COPY, setting("Diff", 0.0))
    at_random = one.small * differ(COPY) / 100
    assert abs(one.other - at_random) < 0.01
    return 100 * np.array([one.small, one.other])


def text(pair, name, *numbers):
    tree = replay.trees(pair)[name]
    tokens = replay.written(pair, name, setting(*numbers))
    return "".join(tree.words[one.token] for one in tokens).replace("␣", " ")


def exact():
    """The notebook's own rule on its own example, in fractions."""
    cells = nbformat.read(ROOT / f"notebooks/{NOTEBOOK}.ipynb", as_version=4).cells
    names = {}
    exec(next(c.source for c in cells if c.id == "aim"), names)
    p, q = ([Fraction(n, 10) for n in row] for row in ((4, 3, 2, 1), (1, 2, 3, 4)))
    pi = names["cascade"](p, q, Fraction(0))
    kept = sum(map(min, pi, q))
    far = sum(abs(a - b) for a, b in zip(p, pi, strict=True)) / 2
    return [kept, far, sum(map(min, p, q))] == [Fraction(57, 100), Fraction(3, 50), Fraction(3, 5)]


def different(beta):
    tree = replay.trees(DRAFT)["a story"]
    return len(set(tree.texts["contrast"][replay.ALPHAS.index(beta)]))


def averaged():
    found = 100 * replay.shares(COPY, setting("averaging", 0.5)).other
    assert abs(found - differ(COPY) / 2) < 1, "half"
    return found


def alone():
    tokens = replay.written(DRAFT, "chat", setting("Chow", 1.0))
    assert all(one.by == "small" for one in tokens)
    assert text(DRAFT, "chat", "Chow", 1.0).count("a sample of a sample") > 3
    return [sum(one.token != one.node.large for one in tokens), len(tokens), differ(DRAFT)]


CLAIMS = [
    Claim("The copy has another first choice at {29} % of the places, the draft at {67} %.",
          lambda: [differ(COPY), differ(DRAFT)], 0.5),
    Claim("There both small models choose another token at {37} and {85} % of the places.",
          lambda: [differ(COPY, "longer word"), differ(DRAFT, "longer word")], 0.6),
    Claim("Of the common kinds (short words, longer words, signs) the longer words need the"
          " large model most.", missed_most),
    Claim("The least sure fifth holds {43} % of the places at which the copy chooses another token,"
          " twice as many as chance would find.", lambda: caught(COPY, sure), 0.6),
    Claim("Somebody who knows the answer finds {69} %.", lambda: caught(COPY, knowing), 0.6),
    Claim("For the draft confidence helps less: {28} % where {30} % can be had",
          lambda: [caught(DRAFT, sure), caught(DRAFT, knowing)], 0.6),
    Claim("at alpha = 0 it accepts 57/100 of the tokens, and its distance from the target is 3/50."
          " The exact rule of notebook 05 accepts 3/5 with no distance at all", exact),
    Claim("With {73} % of the tokens from the copy, V3 leaves {2} % that are not the whole model's"
          " choice, and Chow leaves {13} %.", v3_and_chow, 0.6),
    Claim("Diff, with {44} % from the copy, leaves {13} %, as many as a model that is asked at"
          " random.", diff, 0.6),
    Claim("has {22} different tokens of 40. At 0.5 there are {30}",
          lambda: [different(0.0), different(0.5)]),
    Claim("choose another token than the whole one at {14} % of the places, half of what the copy"
          " does alone.", averaged, 0.5),
    Claim("the mean writes 15 + 27 = 3\\*28.",
          lambda: text(COPY, "a sum", "averaging", 0.5).startswith("15 + 27 = 3*28")),
    Claim("the expert answers the request to count with *I'm sorry for your loss*.",
          lambda: "I'm sorry for your loss" in text(COPY, "counting", "contrast", 1.0)),
    Claim("At only {5} of the {40} places the large model would have chosen another token: little,"
          " beside {67} % on the 60 answers.", alone, 0.5),
]  # fmt: skip
GIVEN = ["At how many per cent of the places does its four-bit copy have another one?"]

test_claims_hold = claims_hold(NOTEBOOK, CLAIMS)
test_figures_are_claimed = figures_are_claimed(NOTEBOOK, CLAIMS, GIVEN)
