"""What one answer of a model on two machines takes, by cut, link and bits; numbers are supposed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble_lab.systems.placement.neurosurgeon import cut_seconds

# SmolLM2-135M: 30 layers of 576 numbers. Its speed is supposed: a device of two cores.
LAYERS, WIDTH = 30, 576
TOKEN = 0.025  # seconds in which the device computes one token after the other
READ = 0.0025  # seconds of the device for a token of the prompt: many at once are cheaper
PROMPT, ANSWER = 1000, 50  # tokens
CUTS = tuple(range(LAYERS + 1))
BANDWIDTHS = (5, 10, 30, 100, 300, 1000)  # Mbit/s
TRIPS = (0, 1, 2, 5, 10, 20, 30, 50, 100, 200)  # ms
RATIOS = (1, 2, 4, 8, 16)  # the server's speed over the device's
BITS = (16, 8)


@dataclass(frozen=True)
class Step:
    """Where the time of one step goes, in seconds: n tokens through all layers."""

    device: float
    there: float  # bytes of n hidden states to the server
    server: float
    back: float  # bytes of one hidden state to the device, which has the head
    trip: float  # the round trip without the bytes

    @property
    def seconds(self) -> float:
        """All of it; no part overlaps another."""
        return self.device + self.there + self.server + self.back + self.trip


def state_bytes(bits: int) -> float:
    """Bytes of a token's hidden state; 8-bit ones have a scale of 16 bits."""
    return WIDTH * bits / 8 + (2 if bits == 8 else 0)


def step(tokens: int, cut: int, bandwidth: float, trip: float, ratio: float, bits: int) -> Step:
    """One step over `tokens` tokens with the first `cut` layers on the device."""
    layer = (READ * tokens if tokens > 1 else TOKEN) / LAYERS
    linked = cut < LAYERS
    rate = bandwidth * 1e6
    return Step(
        device=cut * layer,
        there=linked * 8 * tokens * state_bytes(bits) / rate,
        server=(LAYERS - cut) * layer / ratio,
        back=linked * 8 * state_bytes(16) / rate,
        trip=linked * trip / 1e3,
    )


def by_cut(tokens: int, bandwidth: float, trip: float, ratio: float, bits: int) -> np.ndarray:
    """Seconds of one step for every cut, (31,); as Neurosurgeon counts."""
    layer = (READ * tokens if tokens > 1 else TOKEN) / LAYERS
    device = np.full(LAYERS, layer)
    sent = np.full(LAYERS, tokens * state_bytes(bits))  # as many bytes at every cut
    rate = bandwidth * 1e6
    around = trip / 1e3 + 8 * state_bytes(16) / rate
    return cut_seconds(device, device / ratio, sent, rate, around)


def answer_by_cut(bandwidth: float, trip: float, ratio: float, bits: int) -> np.ndarray:
    """Seconds of a whole answer for every cut, (31,): the prompt, which gives a token, and more."""
    first, later = (by_cut(n, bandwidth, trip, ratio, bits) for n in (PROMPT, 1))
    return first + (ANSWER - 1) * later
