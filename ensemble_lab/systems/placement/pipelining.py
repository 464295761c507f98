"""Pipelining: batches in flight keep several machines at work on one model."""

from __future__ import annotations

import numpy as np

from ensemble_lab.systems.placement.given import row
from ensemble_lab.systems.simulator.inputs import positive, whole


def pipelined_decode(stages, batches: int, tokens: int, link: float = 0.0) -> np.ndarray:
    """When every stage starts every token of every batch; each stage serves first come first.

    The next token of a batch needs the last one. So one batch keeps one stage at work at a time,
    and a token takes ``sum(stages) + len(stages) * link`` seconds: never less than on one machine.
    With b batches in flight each batch gets a token every
    ``max(sum(stages) + len(stages) * link, b * max(stages))`` seconds.

    Parameters
    ----------
    stages : sequence of float, (s,)
        Seconds of each stage for a token of a batch.
    batches, tokens : int
        How many batches are in flight, and how many tokens each gets.
    link : float
        Seconds from a stage to the next one, and from the last back to the first.

    Returns
    -------
    numpy.ndarray, (batches, tokens, s)
        Start in seconds; the end is ``stages`` later.

    Raises
    ------
    ValueError
        A stage that takes no time, a negative link, no batch or token.

    References
    ----------
    Huang et al., GPipe: efficient training of giant neural networks using pipeline parallelism,
    NeurIPS 2019. Borzunov et al., Petals: collaborative inference and fine-tuning of large models,
    ACL 2023.

    Examples
    --------
    >>> pipelined_decode([1, 1], batches=2, tokens=2)[:, :, 0]  # the first stage is never idle
    array([[0., 2.],
           [1., 3.]])
    """
    stages = row(stages, "stages", zero=False)
    batches, tokens = whole(batches, "batches"), whole(tokens, "tokens")
    link = positive(link, "link", " s", zero=True)
    start = np.zeros((batches, tokens, len(stages)))
    free = np.zeros(len(stages))  # when each stage has done its last piece of work
    came = np.zeros(batches)  # when each batch is at the next stage
    for token in range(tokens):
        for batch in range(batches):  # batches never overtake one another
            for stage, seconds in enumerate(stages):
                start[batch, token, stage] = max(came[batch], free[stage])
                free[stage] = start[batch, token, stage] + seconds
                came[batch] = free[stage] + link
    return start
