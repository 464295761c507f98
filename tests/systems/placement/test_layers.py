"""Layers over machines: largest remainders, and the least slowest stage by brute force."""

from itertools import product

import numpy as np
import pytest

from ensemble_lab.systems import layers_by_memory, layers_by_speed


def ways(machines, layers, least=0):
    """All counts of layers."""
    for counts in product(range(least, layers + 1), repeat=machines - 1):
        if layers - sum(counts) >= least:
            yield np.array([*counts, layers - sum(counts)])


@pytest.mark.parametrize("seed", range(60))
def test_by_speed_the_slowest_stage_is_the_least_of_all_ways(seed):
    rng = np.random.default_rng(seed)
    machines, layers = int(rng.integers(1, 5)), int(rng.integers(1, 10))
    seconds = rng.exponential(1.0, machines)
    room = rng.integers(0, layers + 1, machines) if seed % 2 else np.full(machines, layers)
    room[0] += max(0, layers - room.sum())
    found = layers_by_speed(seconds, layers, room if seed % 2 else None)
    assert found.sum() == layers and (found <= room).all()
    best = min((w * seconds).max() for w in ways(machines, layers) if (w <= room).all())
    assert (found * seconds).max() == pytest.approx(best)


@pytest.mark.parametrize("machines", range(1, 17))
def test_equal_machines_differ_by_one_layer_at_most(machines):
    """Balancers that look at the slowest stage alone leave the last ones empty (DeepSpeed 5078)."""
    for layers in (machines, machines + 1, 42, 80):
        for place in (layers_by_speed, layers_by_memory):
            found = place(np.ones(machines), layers)
            assert found.sum() == layers and np.ptp(found) <= 1


@pytest.mark.parametrize("seed", range(60))
def test_by_memory_no_other_way_is_nearer_to_the_quotas(seed):
    """Largest remainders give the least sum of deviations, where each machine has one anyway."""
    rng = np.random.default_rng(seed)
    memory, layers = rng.integers(8, 33, int(rng.integers(1, 4))), 12
    quotas = layers * memory / memory.sum()
    found = layers_by_memory(memory, layers)
    best = min(np.abs(w - quotas).sum() for w in ways(len(memory), layers, 1))
    assert found.sum() == layers and np.abs(found - quotas).sum() == pytest.approx(best)


def test_a_machine_with_next_to_no_memory_gets_one_layer_of_the_largest():
    assert layers_by_memory([100, 1, 60], 16).tolist() == [9, 1, 6]
    assert layers_by_memory([5, 1, 1], 3).tolist() == [1, 1, 1]


def test_by_memory_the_slow_machine_with_much_memory_holds_all_up():
    seconds, memory = np.array([0.02, 0.005]), [24, 8]
    by_memory, by_speed = layers_by_memory(memory, 32), layers_by_speed(seconds, 32)
    slowest = [(count * seconds).max() for count in (by_memory, by_speed)]
    assert slowest == pytest.approx([0.48, 0.13])


def test_rounding_gives_no_machine_more_than_it_holds():
    """The small machine has the largest remainder, but no room for one more layer."""
    memory = [24.0, 128.0, 128.0]
    assert layers_by_memory(memory, 16)[0] == 2
    assert layers_by_memory(memory, 16, each=12.5).tolist() == [1, 8, 7]


@pytest.mark.parametrize("seed", range(60))
def test_all_layers_are_placed_where_they_fit(seed):
    rng = np.random.default_rng(seed)
    memory, each = rng.uniform(5, 40, 4), 2.0
    layers = int((memory // each).sum()) - seed % 3
    found = layers_by_memory(memory, layers, each)
    assert found.sum() == layers and (found >= 1).all() and (found * each <= memory).all()
