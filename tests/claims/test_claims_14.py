"""What notebook 14 says about paths, towers and merged encoders, computed again."""

from functools import cache, partial

import numpy as np
import pytest
from sklearn.datasets import load_digits

import ensemble_lab as lab
from tests.support.claims import Claim, claims_hold, figures_are_claimed

torch = pytest.importorskip("torch")

SEEDS, EPOCHS = 5, 30


@cache
def recorded(name):
    shown = lab.explore(name)
    return lambda **view: shown.found(shown.state(**view))


@cache
def data():
    """Left and right halves, digits, and the rows that are learned and asked for."""
    images, digit = load_digits(return_X_y=True)
    left, right = (
        (images / 16).reshape(-1, 8, 2, 4)[:, :, side].reshape(-1, 32) for side in (0, 1)
    )
    order = np.random.default_rng(0).permutation(len(digit))
    return left.astype(np.float32), right.astype(np.float32), digit, order[:898], order[898:998]


# -- paths --------------------------------------------------------------------------------------


def costs():
    found = lab.load_lesions()
    return found, found.single - found.whole


def the_middle_is_nearly_independent():
    found, alone = costs()
    gap = abs(found.beyond_sum.diagonal(1))
    cheap = (alone[:-1] < 0.5) & (alone[1:] < 0.5)
    return bool(cheap.sum() > 15 and gap[cheap].mean() < 0.15 and gap[~cheap].mean() > 0.5)


def one_can_go():
    _, alone = costs()
    return bool(np.median(alone) < 0.3 and alone[12:25].max() < 0.5)


def blocks_1_and_2():
    return bool(costs()[0].beyond_sum[1, 2] > 1)


def blocks_0_and_1():
    return bool(costs()[0].beyond_sum[0, 1] < -1)


def block_11():
    _, alone = costs()
    return bool(alone[11] > 2 and alone[11] > 4 * alone[12:25].max())


def code_needs_block_11():
    find = recorded("lesions")
    return bool(find(text="code").single[11] > find(text="a story").single[11] + 0.5)


def chosen_and_random():
    found, alone = costs()
    one, other = np.argsort(alone)[:2]
    pairs = found.losses[np.triu_indices(len(alone), 1)] - found.whole
    return bool(found.losses[one, other] - found.whole < 0.5 and pairs.mean() > 1)


# -- towers -------------------------------------------------------------------------------------


@cache
def two(views="halves"):
    """Recall (5,) of two towers, of a shared one of equal size, and of the mean of the scores."""
    left, right, _, learned, new = data()
    first, second = left, right
    if views == "noise":
        rng = np.random.default_rng(0)
        first, second = (
            (left + rng.normal(0, 0.3, left.shape)).astype(np.float32) for _ in range(2)
        )
    encoder = lab.DualEncoder(members=SEEDS, epochs=EPOCHS, random_state=0)
    encoder.fit(first[learned], second[learned])
    scores = encoder.similarity(first[new], second[new])

    class Shared(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tower = lab.perceptron(32, 32, 128)

        def forward(self, rows):
            vectors = self.tower(torch.stack(rows.chunk(2, -1)))
            return torch.cat(tuple(torch.nn.functional.normalize(vectors, dim=-1)), -1)

    def loss(outputs, targets, weights):
        a, b = outputs.chunk(2, dim=-1)
        return lab.contrastive_loss(a @ b.mT)

    rows = np.hstack([first, second])
    shared = lab.train_members(Shared, rows[learned], np.zeros(len(learned), int), members=SEEDS,
                               loss=loss, epochs=EPOCHS, batch_size=64, learning_rate=0.003,
                               device="cpu", progress=False)  # fmt: skip
    a, b = np.split(shared.outputs(rows[new]), 2, axis=-1)
    return (
        lab.recall_at_k(scores),
        lab.recall_at_k(a @ b.swapaxes(-1, -2)),
        lab.recall_at_k(scores.mean(0)),
    )


def towers_find_it():
    return bool(two()[0].min() > 0.1)


def towers_make_an_ensemble():
    own, _, together = two()
    return bool(together > own.mean())


def two_pay_where_views_differ():
    own, shared, _ = two()
    return bool(own.mean() > shared.mean())


def shared_pays_where_they_are_alike():
    own, shared, _ = two("noise")
    return bool(shared.mean() > own.mean())


@cache
def merged():
    """Share right (ways, 5): the single network first, then three merges of equal size."""
    left, right, digit, *_ = data()
    rows = np.hstack([left, right])
    splits = np.array([np.random.default_rng(i).permutation(len(digit)) for i in range(SEEDS)])
    makes = [partial(lab.perceptron, hidden=64)]
    most = sum(p.numel() for p in makes[0](64, 10).parameters())
    for merge in ("concatenate", "sum", "gated"):
        sizes = [
            h for h in range(4, 129)
            if sum(p.numel() for p in lab.TwoEncoders(64, 10, h, merge).parameters()) <= most
        ]  # fmt: skip
        makes.append(partial(lab.TwoEncoders, hidden=max(sizes), merge=merge))
    found = []
    for make in makes:
        network = lab.NetworkClassifier(make, EPOCHS, learning_rate=0.003, random_state=0)
        members = network.train(rows, digit, 10, SEEDS, rows=splits[:, :898])
        found.append([
            (members.some([i]).outputs(rows[new])[0].argmax(-1) == digit[new]).mean()
            for i, new in enumerate(splits[:, 898:])
        ])  # fmt: skip
    return np.array(found)


def no_merge_wins():
    """Each mean gain is below its standard deviation over the splits."""
    gains = merged()[1:] - merged()[0]
    return bool((gains.mean(1) < gains.std(1, ddof=1)).all())


# -- negatives ----------------------------------------------------------------------------------


def of(negatives):
    found = recorded("retrieval")(negatives=negatives)
    return found.recall(100), found.same(100)


def lost_among_strangers():
    (own, digit), (_, other) = of("all others"), of("the same digit")
    return bool(of("the same digit")[0].max() < own.min() and other.max() < 0.6 * digit.min())


def the_other_repair_has_a_price():
    (own, digit), (less, more) = of("all others"), of("other digits")
    return bool(less.mean() < own.mean() - 0.02 and more.mean() > digit.mean() + 0.02)


CLAIMS = [
    Claim("The two cheapest blocks together cost less than half a nat; two at random cost more than"
          " a whole one on average.", chosen_and_random),
    Claim("In the middle, pairs are close to the line: these blocks are nearly independent paths",
          the_middle_is_nearly_independent),
    Claim("any one of them can go", one_can_go),
    Claim("Without blocks 1 and 2 far more is lost than without each alone", blocks_1_and_2),
    Claim("Blocks 0 and 1 together cost *less* than the sum", blocks_0_and_1),
    Claim("It is not safe: block 11 is in the middle, too.", block_11),
    Claim("in the explorer the code loses more without block 11 than the story does",
          code_needs_block_11),
    Claim("Two small towers, which never see a whole image, find the right half far more often than"
          " chance.", towers_find_it),
    Claim("The mean of the scores of all five dual encoders is better than each of them on average",
          towers_make_an_ensemble),
    Claim("**Two encoders pay where the views differ.**", two_pay_where_views_differ),
    Claim("Where both views are of one kind, the shared tower is better",
          shared_pays_where_they_are_alike),
    Claim("none beats the single network by more than the luck of the splits", no_merge_wins),
    Claim("Among strangers such towers are lost.", lost_among_strangers),
    Claim("more of what is found is of the same digit, but the own half is found less often",
          the_other_repair_has_a_price),
]  # fmt: skip

test_claims_hold = claims_hold("14_dual_transformers", CLAIMS)
test_figures_are_claimed = figures_are_claimed("14_dual_transformers", CLAIMS, [])
