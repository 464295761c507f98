"""Checks of notebook 14: the contrastive loss of each pair, and a block removed from a stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logsumexp

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: the contrastive loss --------------------------------------------------------------------


def _surprise(
    scale: Callable = lambda scores, temperature: scores / temperature,
    among: Callable = lambda logits: logsumexp(logits, axis=1),
    partner: Callable = np.diagonal,
):
    """The loss of each row, with a part of the work exchanged."""

    def losses(scores, temperature) -> np.ndarray:
        logits = scale(scores, temperature)
        return among(logits) - partner(logits)

    return losses


_losses = _surprise()


def _both_ways(scores, temperature) -> np.ndarray:
    return (_losses(scores, temperature) + _losses(scores.T, temperature)) / 2


def _without_partner(logits) -> np.ndarray:
    others = np.where(np.eye(len(logits), dtype=bool), -np.inf, logits)
    return logsumexp(others, axis=1)


LOSS_MISTAKES = (
    (_surprise(among=_without_partner),
     "With equal scores each of B partners has the probability 1/B. Is a row's own partner among"
     " those that it chooses from?"),
    (_surprise(scale=lambda scores, temperature: scores),
     "Where does the temperature come in?"),
    (_surprise(scale=lambda scores, temperature: scores * temperature),
     "Does a low temperature make the differences between the scores larger or smaller?"),
    (_surprise(among=lambda logits: logsumexp(logits, axis=0)),
     "Over what does the softmax go: over the second views that a first view chooses from, or the"
     " other way round?"),
    (_both_ways,
     "You ask in both directions, as CLIP does. Here only the first views choose."),
    (lambda scores, temperature: -_losses(scores, temperature),
     "Is a surprise ever below 0?"),
    (lambda scores, temperature: np.exp(-_losses(scores, temperature)),
     "That is the probability of the partner. What is the surprise at it?"),
    (lambda scores, temperature: 1 - np.exp(-_losses(scores, temperature)),
     "That is the probability of all others. What is the surprise at the partner?"),
    (lambda scores, temperature: _losses(scores, temperature) / np.log(2),
     "Are these nats or bits?"),
    (lambda scores, temperature: _losses(scores, temperature) / len(scores),
     "Is it the loss of each pair, or a share of the mean?"),
    (lambda scores, temperature: np.full(len(scores), _losses(scores, temperature).mean()),
     "This is the mean over the batch. What is the loss of each pair?"),
    (_surprise(partner=lambda logits: logits[:, 0]),
     "In which column is the partner of row i?"),
    (_surprise(partner=lambda logits: logits.max(axis=1)),
     "Is the best column the partner?"),
    (_surprise(partner=lambda logits: logits.mean(axis=1)),
     "Are all columns partners of a row?"),
    (lambda scores, temperature: -np.log(expit(np.diagonal(scores) / temperature)),
     "A sigmoid looks at one pair alone. Among how many partners does a row choose?"),
    (lambda scores, temperature: np.full(len(scores), np.log(len(scores))),
     "log B is the loss at equal scores. And at others?"),
    (lambda scores, temperature: logsumexp(scores / temperature, axis=1)
     - np.log(len(scores)) - np.diagonal(scores) / temperature,
     "Is the loss 0 at equal scores? Each of B partners is as likely as the others there."),
)  # fmt: skip


def _batches():
    """Equal scores first; then cosines, in which no row's partner is always the best."""
    yield np.full((4, 4), 0.3), 0.5
    for seed, pairs, temperature in ((0, 3, 0.5), (1, 5, 0.2), (2, 4, 2.0)):
        rng = draws(seed)
        yield np.round(rng.uniform(-1, 1, (pairs, pairs)), 2), temperature


check_contrastive = Check(
    """Check a function that computes the contrastive loss of each pair of a batch.

    It takes ``(scores, temperature)`` and returns the losses (B,) in nats. ``scores[i, j]`` (B, B)
    is how well the first view i fits the second view j; partners are on the diagonal. Each first
    view chooses among all B second views by the softmax of ``scores / temperature``, and its loss
    is minus the logarithm of its partner's probability. At equal scores that is log B.
    """,
    cases=_batches,
    parts=[
        Part("a loss", _losses, LOSS_MISTAKES,
             lambda at, scores, temperature: f"at temperature {temperature:g}, pair {at[0]} with"
             f" the scores {', '.join(f'{s:g}' for s in scores[at[0]])}: the loss",
             asked="{} losses, one for each pair"),
    ],
    success="equal scores cost log B, and all that the towers can learn is to be less surprised",
)  # fmt: skip

# -- 2: a path removed --------------------------------------------------------------------------


def _flow(
    step: Callable = lambda x, block, at, gone: x if at == gone else x + np.tanh(x @ block),
):
    """The state at the end, with the work of a block exchanged."""

    def end(x, blocks, gone) -> np.ndarray:
        for at, block in enumerate(blocks):
            x = step(x, block, at, gone)
        return x

    return end


_without = _flow()


def _whole(x, blocks) -> np.ndarray:
    return _without(x, blocks, None)


def _own(x, blocks, gone) -> np.ndarray:
    """What the block adds in the whole network."""
    return np.tanh(_whole(x, blocks[:gone]) @ blocks[gone])


def _later(x, blocks, gone, without) -> np.ndarray:
    return _whole(x, blocks) - without - _own(x, blocks, gone)


WITHOUT_MISTAKES = (
    (lambda x, blocks, gone: _whole(x, blocks) - _own(x, blocks, gone),
     "You take the block's output away at the end. What have the blocks after it read?"),
    (lambda x, blocks, gone: _whole(x, blocks),
     "Is a block removed?"),
    (lambda x, blocks, gone: _whole(x, blocks[:gone]),
     "You stop before the removed block. Which blocks are left after it?"),
    (lambda x, blocks, gone: _without(x, blocks, gone - 1),
     "Do the numbers of the blocks begin with 0 or with 1?"),
    (lambda x, blocks, gone: _without(x, blocks, gone + 1),
     "Do the numbers of the blocks begin with 0 or with 1?"),
    (lambda x, blocks, gone: _own(x, blocks, gone),
     "That is what the removed block adds. What is left without it?"),
    (_flow(lambda x, block, at, gone: 0 * x if at == gone else x + np.tanh(x @ block)),
     "A removed block adds nothing. What happens to the stream that goes past it?"),
    (_flow(lambda x, block, at, gone: x if at == gone else np.tanh(x @ block)),
     "Does a block replace the state, or add to it?"),
    (_flow(lambda x, block, at, gone: x + np.tanh(x if at == gone else x @ block)),
     "A removed block is no block with the identity as weights: what does it add?"),
    (_flow(lambda x, block, at, gone: x if at == gone else x + np.tanh(block @ x.T).T),
     "Is it x @ W, or W @ x?"),
    (_flow(lambda x, block, at, gone: x if at == gone else x + x @ block),
     "Where is the tanh?"),
    (lambda x, blocks, gone: x + sum(np.tanh(x @ block) for at, block in enumerate(blocks)
                                     if at != gone),
     "Each block reads what the blocks before it have written. Do yours all read the start?"),
)  # fmt: skip
LATER_MISTAKES = (
    (lambda x, blocks, gone, without: _whole(x, blocks) - without,
     "This is the whole change. How much of it is the block's own output?"),
    (lambda x, blocks, gone, without: _own(x, blocks, gone),
     "This is the block's own output. What else has changed, since later blocks read it?"),
    (lambda x, blocks, gone, without: -_later(x, blocks, gone, without),
     "What was there and is lost: which of the two ends comes first?"),
    (lambda x, blocks, gone, without: without - _whole(x, blocks),
     "What was there and is lost: which of the two ends comes first?"),
    (lambda x, blocks, gone, without: _whole(x, blocks) - without - np.tanh(x @ blocks[gone]),
     "Which state does the block read: the first one, or the one that the blocks before it left?"),
    (lambda x, blocks, gone, without: _whole(x, blocks) - without
     - np.tanh(without @ blocks[gone]),
     "Which state does the block read: the one before it, or the one at the end?"),
    (lambda x, blocks, gone, without: np.zeros_like(x),
     "It is 0 only for the last block. What have the blocks after it read?"),
    (lambda x, blocks, gone, without: _whole(x, blocks) - without + _own(x, blocks, gone),
     "Is the block's own output added to the change, or taken out of it?"),
)  # fmt: skip


def _streams():
    """A few states and blocks; the removed one is neither the first nor the last at first."""
    for seed, rows, width, depth, gone in ((0, 2, 2, 3, 1), (1, 3, 2, 4, 2), (2, 2, 3, 4, 0),
                                           (3, 2, 2, 3, 2)):  # fmt: skip
        rng = draws(seed)
        blocks = np.round(rng.normal(0, 0.8, (depth, width, width)), 1)
        yield np.round(rng.normal(size=(rows, width)), 1), blocks, gone


check_path_removed = Check(
    """Check a function that removes a block from a residual stream.

    It takes ``(x, blocks, gone)``: states (n, d), the weights (L, d, d) of L blocks, and the number
    of one of them, from 0. Each block adds ``tanh(x @ W)`` to the state x that it reads. Return
    (without, later), both (n, d): the state at the end without the block `gone`; and how much of
    the loss came through the blocks after it, which is the end of the whole network, less
    `without`, less what the block itself adds there.
    """,
    cases=_streams,
    parts=[
        Part("a number", _without, WITHOUT_MISTAKES,
             lambda at, x, blocks, gone: f"of {len(blocks)} blocks without block {gone}, number"
             f" {at[1]} of state {at[0]} at the end",
             key="without"),
        Part("a number", _later, LATER_MISTAKES,
             lambda at, x, blocks, gone, without: f"of {len(blocks)} blocks without block {gone},"
             f" number {at[1]} of state {at[0]}, what came through later blocks",
             key="later"),
    ],
    success="a block counts twice: for what it adds, and for what later blocks read in it",
)  # fmt: skip
