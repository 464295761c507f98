"""What notebook 06 says of drafts and their costs, read again from what was recorded."""

from fractions import Fraction

import nbformat
import numpy as np
import torch

from ensemble_lab.explorers.tokens import drafts_replay as replay
from ensemble_lab.tokens import (
    Lenience,
    Mixture,
    Typical,
    children_distribution,
    exact_divergence,
)
from tests.support.claims import Claim, claims_hold, figures_are_claimed
from tests.support.processes import ROOT

NOTEBOOK = "06_where_drafts_come_from"
TREES = (2, 3, 4)  # widths


def steps(form, shape, size):
    return replay.pass_ms(form, shape, size) / replay.pass_ms(form, "chain", 0)


def first(text, draft, choice=0):
    """Per cent of the places where the target's token is this choice."""
    return 100 * replay.ranks(text, draft)[choice]


def best(text, form, widths, draft="head"):
    """The largest gain, and its size."""
    return max(
        (replay.replayed(text, draft, w, n).gains[form], n)
        for w in widths for n in replay.sizes()
    )  # fmt: skip


def chains_win_in_four_bits():
    return all(best(t, 1, [1])[0] > best(t, 1, TREES)[0] for t in replay.texts())


def at_most_six():
    return max(best(t, f, w)[1] for t in replay.texts() for f in range(3) for w in ([1], TREES))


def twice_the_heads_time():
    times = replay.recorded()["costs"]["drafting"]
    ratio = np.median(np.divide(times["small model"][:8], times["head"][:8]))
    return bool(1.7 < ratio < 2.6)


def summed(children, renew=True):
    """The notebook's own function on its own example."""
    cells = nbformat.read(ROOT / f"notebooks/{NOTEBOOK}.ipynb", as_version=4).cells
    names = {}
    exec(next(c.source for c in cells if c.id == "enumerate"), names)
    p, q = ([Fraction(n, 10) for n in row] for row in ((4, 3, 2, 1), (1, 2, 3, 4)))
    return names["first_token"](p, q, children, renew)


def lifts_the_share():
    p, q = ([Fraction(n, 10) for n in row] for row in ((4, 3, 2, 1), (1, 2, 3, 4)))
    one, two = summed(1), summed(2)
    assert [one, two] == [children_distribution(p, q, children) for children in (1, 2)]
    return (one[1], two[1]) == (Fraction(3, 5), Fraction(107, 140)) and one[0] == two[0] == p


def the_fault():
    return summed(2, renew=False)[0][0] == Fraction(699, 1960)


def lossy(rule):
    """The chance that a drafted token is accepted, and the distance of the text's first token."""
    p, q = (np.array(row) / 10 for row in ((4, 3, 2, 1), (1, 2, 3, 4)))
    kept = rule.chances(torch.tensor(rule.aim(p, q)), torch.tensor(q)).numpy()
    models = [lambda tokens, one=one: np.array([one] * len(tokens)) for one in (p, q)]
    return q @ kept, exact_divergence(*models, [0], 1, 1, rule).total_variation


def drafts_text():
    """Every token is accepted, and the distance is that of q from p."""
    return bool(np.allclose(lossy(Typical()), (1, 0.4)))


def small_loss():
    return bool(replay.replayed("chat", "lookup", 1, 4).gains[0] > 0.95)


CLAIMS = [
    Claim("so a round with 4 drafted tokens takes {1.3} plain steps and one with 16 takes {2.3}.",
          lambda: [steps("bfloat16", "chain", n) for n in (4, 16)], 0.05),
    Claim("with 3 drafted tokens and the last one of the text a round takes {1.6} steps, with one"
          " more {2.4}, with 16 even {5.6}.",
          lambda: [steps("four bits", "chain", n) for n in (3, 4, 16)], 0.05),
    Claim("on the text to copy the target's token is the lookup's first choice at"
          " {76} % of the places, on chat at {4} %.",
          lambda: [first("a text to copy", "lookup"), first("chat", "lookup")], 0.5),
    Claim("the table has {79} %, and the small model {77} %.",
          lambda: [first("counting", "table"), first("counting", "small model")], 0.5),
    Claim("On chat the head has {35} % and the small model {21} %",
          lambda: [first("chat", "head"), first("chat", "small model")], 0.5),
    Claim("although it takes twice the head's time", twice_the_heads_time),
    Claim("A second child lifts the accepted share from 3/5 to 107/140, and the first token still"
          " follows p exactly.", lifts_the_share),
    Claim("its first token comes with 699/1960 in place of 2/5", the_fault),
    Claim("Lenience with a factor of 1 is lossless.",
          lambda: bool(np.allclose(lossy(Lenience(1.0)), (0.6, 0)))),
    Claim("With 0.5 it accepts {0.80} at a distance of {0.22}; the mixture accepts {0.72} at"
          " {0.12}.", lambda: [*lossy(Lenience(0.5)), *lossy(Mixture(0.7))], 0.005),
    Claim("Typical acceptance finds each of the four tokens likely enough: what it writes is the"
          " draft's text.", drafts_text),
    Claim("On the sum the second choice is right at {12.5} % of the places",
          lambda: first("a sum", "head", 1), 0.05),
    Claim("a small tree beats the best chain: {1.46} against {1.36} times the plain"
          " speed in bfloat16.",
          lambda: [best("a sum", 0, TREES)[0], best("a sum", 0, [1])[0]], 0.005),
    Claim("On the text to copy it is right at {4.8} %, and the chain is best: {1.64} against"
          " {1.50}.",
          lambda: [first("a text to copy", "head", 1), best("a text to copy", 0, [1])[0],
                   best("a text to copy", 0, TREES)[0]], [0.05, 0.005, 0.005]),
    Claim("In four bits the chain is best on all four texts.", chains_win_in_four_bits),
    Claim("None of the best has more than {6} tokens.", at_most_six),
    Claim("A tree of 16 takes {7.3} plain steps of such a batch.",
          lambda: steps("bfloat16, 8 texts", "tree", 16), 0.05),
    Claim("The head's tree of 16 on the sum has a gain of {1.17} alone, and of {0.44} in"
          " the batch.",
          lambda: np.array(replay.replayed("a sum", "head", 3, 16).gains)[[0, 2]], 0.005),
    Claim("The target accepts what is copied at {4} % of the places, and writes"
          " {1.04} tokens a round.",
          lambda: [first("chat", "lookup"), replay.replayed("chat", "lookup", 1, 4).tokens],
          [0.5, 0.005]),
    Claim("The loss is small, because a lookup that finds nothing costs nothing.", small_loss),
]  # fmt: skip
GIVEN = ["How many times as long does the tree take?"]

test_claims_hold = claims_hold(NOTEBOOK, CLAIMS)
test_figures_are_claimed = figures_are_claimed(NOTEBOOK, CLAIMS, GIVEN)
