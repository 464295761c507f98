"""Small students of one bag of networks on scikit-learn's digits: in our one batch, and in a loop.

100 rows have labels; for all others the students have only what the teacher says, which both sides
are given.
"""

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from scipy.special import softmax
from torch.nn import functional

from benchmarks.parts.training_peers import BATCH, LEARNING_RATE, digits, mean_probabilities
from ensemble_lab.training import (
    BaggingClassifier,
    NetworkClassifier,
    distillation_loss,
    perceptron,
    train_members,
)

LABELLED = 100
TEMPERATURE, ALPHA = 4.0, 0.1


@cache
def taught():
    """Labels as rows with one 1, or none, and the teacher's probabilities: two (n, 10) tables."""
    learned, _, classes, _ = digits()
    network = NetworkClassifier(epochs=20, batch_size=BATCH, random_state=0)
    teacher = BaggingClassifier(network, 10, random_state=0)
    teacher.fit(learned[:LABELLED], classes[:LABELLED])
    hot = np.eye(10)[classes]
    hot[LABELLED:] = 0
    return hot, teacher.predict_proba(learned)


@dataclass(frozen=True)
class Students:
    """How many students learn, for how long, and how wide they are."""

    members: int
    epochs: int
    hidden: int = 8
    device: str = "cpu"

    def ours(self, seed):
        """Trained in one batch; a function of rows to the mean of their probabilities."""
        learned, *_ = digits()
        whole = train_members(
            self.student,
            learned,
            np.stack(taught(), axis=1),
            members=self.members,
            loss=partial(distillation_loss, temperature=TEMPERATURE, alpha=ALPHA),
            epochs=self.epochs,
            batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            seed=seed,
            device=self.device,
            progress=False,
        )
        return lambda X: softmax(whole.outputs(X), axis=-1).mean(0)

    def loop(self, seed):
        """The same one after another; the teacher is softened once, before all."""
        torch.manual_seed(seed)
        learned, *_ = digits()
        how = {"dtype": torch.float32, "device": self.device}
        X, hot, proba = (torch.as_tensor(a, **how) for a in (learned, *taught()))
        soft = (proba.log() / TEMPERATURE).softmax(-1)
        networks = [self.student().to(self.device) for _ in range(self.members)]
        for network in networks:
            self._learn(network, X, hot, soft)
        return partial(mean_probabilities, networks)

    def _learn(self, network, X, hot, soft):
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True
        )
        for _ in range(self.epochs):
            for some in torch.randperm(len(X), device=X.device).split(BATCH):
                z = network(X[some])
                apart = functional.kl_div(
                    (z / TEMPERATURE).log_softmax(-1), soft[some], reduction="batchmean"
                )
                surprise = functional.cross_entropy(z, hot[some])
                loss = ALPHA * surprise + (1 - ALPHA) * TEMPERATURE**2 * apart
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    def student(self):
        return perceptron(64, 10, hidden=self.hidden)
