"""Both sides of the record of pairs train the same networks, and learn the ring."""

import numpy as np
import torch

from benchmarks.parts import adversarial_pairs
from benchmarks.parts.adversarial_pairs import Pairs
from benchmarks.parts.run import load, scripts
from ensemble_lab.training import GAN


def test_the_peer_has_networks_of_the_same_shape():
    how = GAN(steps=1, seeds=[0], progress=False)
    ours = how.fit(np.zeros((4, 2)) + [[0], [1], [2], [3]]).last.generators
    peer = adversarial_pairs.network(how.latent, how.hidden, 2)
    shapes = [tuple(w.shape[1:]) for w in ours[::2]]
    assert [tuple(p.shape) for p in peer.parameters() if p.dim() == 2] == shapes


def test_both_sides_learn_the_ring_and_leave_the_number_of_threads():
    before, task = torch.get_num_threads(), Pairs(members=1, steps=400)
    assert min(task.ours(0) + task.loop(0)) >= 6
    assert torch.get_num_threads() == before


def test_the_record_tells_what_was_covered():
    found = load(scripts()["pairs"])["seeds-vs-loop"](True)
    assert found["members"] == 2 and found["steps"] == 20 and found["ratio"] > 0
    assert {len(one) for runs in found["modes_covered_of_8"].values() for one in runs} == {2}
