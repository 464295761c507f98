"""The checks of notebook 15 refuse what people get wrong, written in other ways than theirs."""

import numpy as np
import pytest

from ensemble_lab.exercises.submodels import check_exit_thresholds, check_prefix_code
from ensemble_lab.training import AnyPrecision, exit_thresholds


def leaving(confidence, shares, rank=None, pool=None, many=None, column=None):
    """The exercise with sets of rows; the rest exchanges its parts."""
    there, found = set(range(len(confidence))), []
    for e in range(len(shares) - 1):
        own = confidence[:, e if column is None else column]
        rows = sorted(there if pool is None else pool(there), key=lambda i: -own[i])
        count = round(shares[e] * len(confidence)) if many is None else many(shares, e, there)
        at = count if rank is None else rank(rows, count)
        found.append(own[rows[min(at, len(rows) - 1)]])
        there -= {i for i in there if own[i] > found[-1]}
    return found


def test_other_ways_to_the_thresholds_pass():
    assert check_exit_thresholds(leaving)

    def by_the_package(confidence, shares):
        """Its thresholds are halfway, and infinite where nobody leaves."""
        limits = exit_thresholds(confidence, shares)[:-1]
        there, found = np.ones(len(confidence), bool), []
        for e, limit in enumerate(limits):
            there = there & (confidence[:, e] <= limit)
            found.append(confidence[there, e].max())
        return found

    assert check_exit_thresholds(by_the_package)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda c, s: leaving(c, s, pool=lambda there: range(len(c))), "come to this one?"),
        (lambda c, s: leaving(c, s, many=lambda s, e, t: round(s[e] * len(t))), "have not left?"),
        (
            lambda c, s: leaving(c, s, many=lambda s, e, t: round(sum(s[: e + 1]) * len(c))),
            "Who leaves here?",
        ),
        (lambda c, s: leaving(c, s, rank=lambda rows, k: max(k - 1, 0)), "still do so?"),
        (lambda c, s: leaving(c, s, rank=lambda rows, k: k + 1), "one too many?"),
        (lambda c, s: leaving(c, s, rank=lambda rows, k: max(len(rows) - 1 - k, 0)), "least sure?"),
        (lambda c, s: exit_thresholds(c, s)[:-1].clip(0, 1), "exit"),
        (lambda c, s: leaving(c, s, column=0), "decides at the second exit?"),
        (lambda c, s: leaving(c, s, many=lambda s, e, t: round(s[e + 1] * len(c))), "next one's?"),
        (lambda c, s: leaving(c, list(s)[::-1]), "belongs to the first exit?"),
        (lambda c, s: [1 - share for share in s[:-1]], "a confidence?"),
        (lambda c, s: [0.9] * (len(s) - 1), "8 rows"),
        (lambda c, s: [*leaving(c, s), 0.0], "for each exit but the last"),
        (lambda c, s: leaving(c, s)[0], "thresholds"),
    ],
)
def test_wrong_thresholds_are_refused_with_their_hint(wrong, hint):
    verdict = check_exit_thresholds(wrong)
    assert not verdict and hint in verdict.message


# -- a prefix code ------------------------------------------------------------------------------


def in_text(codes, weights, bits, cut=None, entry=np.mean, table=None):
    """The exercise with codes written as text; the rest exchanges its parts."""
    cut = (lambda text: text[:bits]) if cut is None else cut
    short = [int(cut(f"{code:08b}"), 2) for code in codes]
    if table is not None:
        return short, table(short)
    own = [[w for w, s in zip(weights, short, strict=True) if s == code]
           for code in range(2**bits)]  # fmt: skip
    return short, [entry(one) if one else 0.0 for one in own]


def test_another_prefix_code_passes():
    assert check_prefix_code(in_text)


def test_the_package_has_such_codes_and_tables():
    import torch

    torch.manual_seed(0)
    linear = torch.nn.Linear(40, 1)
    stored = AnyPrecision(linear)
    weights = linear.weight.detach().double().numpy()[0]
    for bits in (1, 3):
        short, table = in_text(stored.codes("weight")[0], weights, bits)
        np.testing.assert_array_equal(short, stored.codes("weight", bits)[0])
        np.testing.assert_allclose(table, stored.table("weight", bits)[0])


def long_entries(codes, weights):
    return [weights[codes == code].mean() if (codes == code).any() else 0.0 for code in range(256)]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda c, w, b: in_text(c, w, b, cut=lambda t: t[-b:]), "the first ones, or the last?"),
        (lambda c, w, b: (c // 2**b, np.zeros(2**b)), "are to be left?"),
        (lambda c, w, b: (c - c % 2 ** (8 - b), np.zeros(2**b)), "the last of them 0"),
        (lambda c, w, b: in_text(c, w, b, cut=lambda t: t[: b - 1] or "0"), "too short?"),
        (lambda c, w, b: (c // 2 ** (7 - b), np.zeros(2**b)), "too long?"),
        (lambda c, w, b: (np.round(c / 255 * (2**b - 1)).astype(int), np.zeros(2**b)), "You scale"),
        (lambda c, w, b: in_text(c, w, b, entry=sum), "or their mean?"),
        (lambda c, w, b: in_text(c, w, b, entry=np.median), "at the median"),
        (lambda c, w, b: in_text(c, w, b, entry=lambda own: (max(own) + min(own)) / 2), "the ends"),
        (lambda c, w, b: in_text(c, w, b, entry=min), "the least of its weights"),
        (
            lambda c, w, b: in_text(
                c, w, b, table=lambda s: long_entries(c, w)[:: 2 ** (8 - b)]
            ),
            "its lower end?",
        ),
        (lambda c, w, b: in_text(c, w, b, table=lambda s: long_entries(c, w)[: 2**b]), "the start"),
        (
            lambda c, w, b: in_text(
                c, w, b, table=lambda s: np.mean(np.split(np.array(long_entries(c, w)), 2**b), 1)
            ),
            "count in your mean?",
        ),
        (lambda c, w, b: in_text(c, w, b, table=lambda s: [0.0] * 2**b), "entry"),
        (lambda c, w, b: in_text(c, w, b)[0], "return short"),
        (lambda c, w, b: in_text(c, w, b, table=lambda s: [0.0] * 256), "table"),
        (lambda c, w, b: ([0.5] * len(c), [0.0] * 2**b), "whole number"),
    ],
)  # fmt: skip
def test_wrong_codes_are_refused_with_their_hint(wrong, hint):
    verdict = check_prefix_code(wrong)
    assert not verdict and hint in verdict.message
