"""Positions of labels on a figure, in pixels, so that none covers another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from math import dist

BETWEEN = 15  # from one direct label to the next


def apart(wanted: Sequence[float], room: float) -> list[float]:
    """Heights near the wanted ones, each `BETWEEN` from the next, within 0 and `room`.

    Those that would overlap are spread around their mean.

    >>> apart([10, 12, 90], 100)
    [3.5, 18.5, 90.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[list[int]] = []

    def first(group: list[int]) -> float:
        high = (len(group) - 1) * BETWEEN
        mean = sum(wanted[i] for i in group) / len(group)
        return max(0.0, min(mean - high / 2, room - high))

    for i in order:
        groups.append([i])
        while len(groups) > 1 and first(groups[-1]) < first(groups[-2]) + len(groups[-2]) * BETWEEN:
            groups[-2:] = [groups[-2] + groups[-1]]
    heights = {i: first(group) + k * BETWEEN for group in groups for k, i in enumerate(group)}
    return [heights[i] for i in range(len(wanted))]


@lru_cache(256)
def near(points: tuple, letters: tuple[int, ...], room: tuple[float, float], size: int,
         lines: tuple = ()) -> list:  # fmt: skip
    """Offset in pixels from each point to the middle of its label; None where there is no room.

    Points are fractions of the room, from the lower left; a label is as wide as its letters. It
    lies on no point and on none of the `lines`, each a tuple of points.

    >>> near(((0.5, 0.5), (0.5, 0.5)), (4, 4), (100, 100), 10)
    [(23.0, 0.0), (-23.0, 0.0)]
    """
    points = [(room[0] * x, room[1] * y) for x, y in points]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    taken += [(x - 3, y - 3, x + 3, y + 3) for line in lines for x, y in _along(line, room)]
    found = []
    for (x, y), count in zip(points, letters, strict=False):
        half, tall, spot = 0.3 * size * count + 2, 0.6 * size, None
        tries = [(part * (half + 9), 0.5 * size * row) for row in range(-20, 21)
                 for part in (0, 1, -1, 0.3, -0.3, 0.7, -0.7, 1.4, -1.4, 2, -2)]  # fmt: skip
        tries.sort(key=lambda move: 3 * abs(move[1]) + abs(move[0]))
        for a, b in tries:
            box = x + a - half, y + b - tall, x + a + half, y + b + tall
            inside = 0 < box[0] and 0 < box[1] and box[2] < room[0] and box[3] < room[1]
            if inside and not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3]
                                  and t[1] < box[3] for t in taken):  # fmt: skip
                spot = a, b
                taken.append(box)
                break
        found.append(spot)
    return found


def _along(line: Sequence, room: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Places in pixels along a line, at most six pixels from one to the next."""
    for start, end in pairwise((room[0] * x, room[1] * y) for x, y in line):
        steps = int(dist(start, end) / 6) + 1
        for at in range(steps + 1):
            yield tuple(a + (b - a) * at / steps for a, b in zip(start, end, strict=True))
