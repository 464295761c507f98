"""Small networks bagged on scikit-learn's digits: in our one batch, in a loop, by torchensemble.

All sides have the same perceptron, epochs, batch size and AdamW; each draws its own bootstrap
rows by its own seed.
"""

import contextlib
import io
import os
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.parts.peers import check_installed
from ensemble_lab.training import BaggingClassifier, NetworkClassifier
from ensemble_lab.training.networks import perceptron

BATCH, LEARNING_RATE = 32, 0.01
PEER = "torchensemble==0.2.0"


@cache
def digits():
    """Pixels in [0, 1] and classes: rows to learn from, rows held out, their classes."""
    X, y = load_digits(return_X_y=True)
    return train_test_split((X / 16).astype(np.float32), y, random_state=0, stratify=y)


class Perceptron(torch.nn.Sequential):
    """The package's small network as a class, which is what torchensemble takes."""

    def __init__(self):
        learned, _, classes, _ = digits()
        super().__init__(*perceptron(learned.shape[1], len(set(classes.tolist()))))


@dataclass(frozen=True)
class Task:
    """How many networks learn, for how long, and where."""

    members: int
    epochs: int
    device: str = "cpu"

    def ours(self, seed):
        """Trained in one batch; a function of rows to probabilities."""
        network = NetworkClassifier(
            epochs=self.epochs,
            batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            device=self.device,
        )
        learned, _, classes, _ = digits()
        whole = BaggingClassifier(network, self.members, random_state=seed)
        return whole.fit(learned, classes).predict_proba

    def loop(self, seed):
        """The same one after another, each step in plain PyTorch."""
        torch.manual_seed(seed)
        learned, _, classes, _ = (torch.as_tensor(a, device=self.device) for a in digits())
        networks = [Perceptron().to(self.device) for _ in range(self.members)]
        for network in networks:
            drawn = torch.randint(len(learned), (len(learned),), device=self.device)
            self._learn(network, learned[drawn], classes[drawn])
        return partial(mean_probabilities, networks)

    def _learn(self, network, X, y):
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True
        )
        for _ in range(self.epochs):
            for some in torch.randperm(len(X), device=X.device).split(BATCH):
                loss = torch.nn.functional.cross_entropy(network(X[some]), y[some])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    def torchensemble(self, seed, workers=None):
        """The same by torchensemble, as its guide has it, but without its files and printing."""
        from torchensemble import BaggingClassifier as Theirs

        torch.manual_seed(seed)
        learned, _, classes, _ = map(torch.as_tensor, digits())
        rows = torch.utils.data.TensorDataset(learned, classes)
        cuda = self.device == "cuda"
        whole = Theirs(Perceptron, self.members, cuda=cuda, n_jobs=workers)
        whole.set_optimizer("AdamW", lr=LEARNING_RATE, weight_decay=0.0)
        loader = torch.utils.data.DataLoader(rows, BATCH, shuffle=True)
        with silence():
            whole.fit(loader, epochs=self.epochs, save_model=False)
        return lambda X: whole.predict(X).numpy()


@contextlib.contextmanager
def silence():
    """Nothing is printed, by workers that are started meanwhile neither."""
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def mean_probabilities(networks, X):
    """Mean probabilities (n, k) of networks, as an array."""
    X = torch.as_tensor(X, device=next(networks[0].parameters()).device)
    with torch.no_grad():
        return torch.stack([one(X).softmax(-1) for one in networks]).mean(0).cpu().numpy()


def accuracy(predict_proba):
    """Share of held-out rows that a trained whole gets right."""
    _, held_out, _, classes = digits()
    return float((predict_proba(held_out).argmax(-1) == classes).mean())


def check_peer():
    """Refuse to measure without the peer, with the command that installs it.

    Raises
    ------
    PeerMissing
        torchensemble is not installed.
    """
    with_dependencies = "with its dependencies it would bring torchvision and another PyTorch"
    check_installed("torchensemble", f"pip install --no-deps {PEER} ({with_dependencies})")


def peer_version():
    return metadata.version("torchensemble")
