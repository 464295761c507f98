"""The checks of notebook 14 refuse what people get wrong, written in other ways than theirs."""

import math

import numpy as np
import pytest

from ensemble_lab.exercises.dual_transformers import check_contrastive, check_path_removed


def row_by_row(scores, temperature, chance=None, partner=None, final=None, rows=None):
    """The exercise with loops; each part may be exchanged."""
    rows, found = scores if rows is None else rows(scores), []
    for i, row in enumerate(rows):
        e = [math.exp(s / temperature) for s in row] if chance is None else chance(row, temperature)
        own = e[i] if partner is None else partner(e, i)
        found.append(-math.log(own / sum(e)) if final is None else final(own, e))
    return found


def by_the_package(scores, temperature):
    torch = pytest.importorskip("torch")
    from torch.nn.functional import cross_entropy

    logits, partners = torch.tensor(scores / temperature), torch.arange(len(scores))
    return cross_entropy(logits, partners, reduction="none").numpy()


def test_other_right_losses_pass():
    assert check_contrastive(row_by_row) and check_contrastive(by_the_package)


def test_equal_scores_come_first_and_cost_log_b():
    scores, temperature = next(iter(check_contrastive.cases()))
    assert len(scores) > 1 and (scores == scores[0, 0]).all()
    np.testing.assert_allclose(check_contrastive.right(scores, temperature)[0], math.log(4))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda s, t: row_by_row(s, t, final=lambda own, e: -math.log(own / (sum(e) - own))),
         "own partner among"),
        (lambda s, t: row_by_row(s, 1.0), "Where does the temperature"),
        (lambda s, t: row_by_row(s, 1 / t), "larger or smaller?"),
        (lambda s, t: row_by_row(s, t, rows=lambda s: s.T), "the other way round?"),
        (lambda s, t: np.add(row_by_row(s, t), row_by_row(s.T, t)) / 2, "as CLIP does"),
        (lambda s, t: np.negative(row_by_row(s, t)), "below 0?"),
        (lambda s, t: row_by_row(s, t, final=lambda own, e: own / sum(e)), "probability of the"),
        (lambda s, t: row_by_row(s, t, final=lambda own, e: 1 - own / sum(e)), "of all others"),
        (lambda s, t: row_by_row(s, t, final=lambda own, e: -math.log2(own / sum(e))), "bits?"),
        (lambda s, t: np.divide(row_by_row(s, t), len(s)), "share of the mean?"),
        (lambda s, t: [float(np.mean(row_by_row(s, t)))] * len(s), "of each pair?"),
        (lambda s, t: float(np.mean(row_by_row(s, t))), "losses, one for each pair"),
        (lambda s, t: row_by_row(s, t, partner=lambda e, i: e[0]), "In which column"),
        (lambda s, t: row_by_row(s, t, partner=lambda e, i: max(e)), "best column"),
        (lambda s, t: np.log1p(np.exp(-np.diag(s) / t)), "A sigmoid"),
        (lambda s, t: [math.log(len(s))] * len(s), "log B is the loss"),
        (lambda s, t: np.log(np.exp(s / t).mean(1)) - np.diag(s) / t, "0 at equal scores?"),
        (lambda s, t: -np.diag(s) / t, "pair 0 with the scores 0.3, 0.3"),
        (lambda s, t: np.zeros(len(s)), "the loss"),
        (lambda s, t: None, "losses"),
    ],
)  # fmt: skip
def test_wrong_losses_are_refused_with_their_hint(wrong, hint):
    verdict = check_contrastive(wrong)
    assert not verdict and hint in " ".join((verdict.message, *verdict.more)), verdict.message


# -- a path removed -----------------------------------------------------------------------------


def through(x, blocks, gone=(), to=None, read=None, add=True):
    """The states one by one, number by number."""
    out = []
    for state in x.tolist():
        first = state
        for i, w in list(enumerate(blocks.tolist()))[:to]:
            if i in gone:
                continue
            seen = first if read == "start" else state
            said = [math.tanh(sum(s * w[k][j] for k, s in enumerate(seen)))
                    for j in range(len(seen))]  # fmt: skip
            state = [a + b if add else b for a, b in zip(state, said, strict=True)]
        out.append(state)
    return np.array(out)


def solved(x, blocks, gone, without=None, own=None, later=None):
    """Both parts; each may be exchanged."""
    end = through(x, blocks, {gone}) if without is None else without(x, blocks, gone)
    before = through(x, blocks, to=gone)
    said = through(x, blocks, to=gone + 1) - before if own is None else own(x, blocks, gone)
    rest = through(x, blocks) - end - said
    return end, rest if later is None else later(x, blocks, end, said)


def test_other_right_removals_pass():
    assert check_path_removed(solved)


def test_the_last_block_has_nothing_after_it():
    *_, (x, blocks, gone) = check_path_removed.cases()
    assert gone == len(blocks) - 1
    np.testing.assert_allclose(check_path_removed.right(x, blocks, gone)[1], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("how", "hint"),
    [
        ({"without": lambda x, b, g: through(x, b) - through(x, b, to=g + 1) + through(x, b, to=g)},
         "What have the blocks after it read?"),
        ({"without": lambda x, b, g: through(x, b)}, "Is a block removed?"),
        ({"without": lambda x, b, g: through(x, b, to=g)}, "stop before"),
        ({"without": lambda x, b, g: through(x, b, {g - 1})}, "begin with 0"),
        ({"without": lambda x, b, g: through(x, b, {g + 1})}, "begin with 0"),
        ({"without": lambda x, b, g: through(x, b, {g}, add=False)}, "or add to it?"),
        ({"without": lambda x, b, g: through(x, b, {g}, read="start")}, "all read the start?"),
        ({"without": lambda x, b, g: through(x, b.swapaxes(1, 2), {g})}, "W @ x?"),
        ({"without": lambda x, b, g: through(np.zeros_like(x), b, {g})}, "at the end"),
        ({"without": lambda x, b, g: through(x, b[g + 1 :])}, "at the end"),
        ({"later": lambda x, b, end, own: through(x, b) - end}, "whole change"),
        ({"later": lambda x, b, end, own: own}, "own output"),
        ({"later": lambda x, b, end, own: end + own - through(x, b)}, "comes first?"),
        ({"later": lambda x, b, end, own: through(x, b) - end + own}, "taken out of it?"),
        ({"later": lambda x, b, end, own: 0 * x}, "only for the last block"),
        ({"own": lambda x, b, g: through(x, b[g : g + 1]) - x}, "Which state"),
    ],
)  # fmt: skip
def test_wrong_removals_are_refused_with_their_hint(how, hint):
    verdict = check_path_removed(lambda x, blocks, gone: solved(x, blocks, gone, **how))
    assert not verdict and hint in " ".join((verdict.message, *verdict.more)), verdict.message


def test_one_part_alone_is_not_enough():
    verdict = check_path_removed(lambda x, blocks, gone: solved(x, blocks, gone)[0])
    assert not verdict
