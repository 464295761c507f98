"""Decoders timed in turn on the same prompts, and medians of that by kind."""

from itertools import cycle, islice
from statistics import geometric_mean, mean, median

from tqdm import tqdm


def interleaved(settings, prompts, heat, most, label):
    """Runs by setting and kind.

    `settings` gives each name a decoder and how many of a kind's prompts it gets; where a kind has
    fewer, they come again. On each prompt all settings run in turn, and the order alternates.
    """
    turns = list(planned(settings, prompts))
    runs = {name: {kind: [] for kind in prompts} for name in settings}
    first = turns[0][1]
    for decoder, _ in settings.values():  # warm up
        decoder(first, heat, 8, 0)
    bar = tqdm(total=sum(len(names) for _, _, _, names in turns), desc=label, leave=False)
    for i, (kind, ids, seed, names) in enumerate(turns):
        for name in names if i % 2 == 0 else names[::-1]:
            runs[name][kind].append(settings[name][0](ids, heat, most, seed))
            bar.update()
    bar.close()
    return runs


def planned(settings, prompts):
    """What to decode: kind, token ids, seed, and the settings whose turn it is."""
    for kind, of_kind in prompts.items():
        most = max(count for _, count in settings.values())
        for turn, ids in enumerate(islice(cycle(of_kind), most)):
            yield kind, ids, turn, [name for name, (_, count) in settings.items() if turn < count]


def by_kind(ours, peer):
    """Median milliseconds a token of both, decoding and end to end, for every kind."""
    of_kinds = {}
    for kind in ours:
        pairs = list(zip(ours[kind], peer[kind], strict=False))  # the same prompts, from the first
        mine, theirs = zip(*pairs, strict=True)
        ms, peer_ms = median(r.decode_ms for r in mine), median(r.decode_ms for r in theirs)
        ratios = [p.decode_ms / o.decode_ms for o, p in pairs]
        total = median(r.total_ms for r in theirs) / median(r.total_ms for r in mine)
        of_kinds[kind] = {
            "ours_ms": ms,
            "peer_ms": peer_ms,
            "ratio": peer_ms / ms,
            "spread": [min(ratios), max(ratios)],
            "end_to_end_ratio": total,
            "repeated_8_grams": mean(r.repeated for r in mine),
            "peer_repeated_8_grams": mean(r.repeated for r in theirs),
            "tokens": sum(len(r.tokens) for r in mine),
            "pairs": len(pairs),
        }
    return of_kinds


def over_kinds(of_kinds, what):
    """Geometric mean over kinds."""
    return geometric_mean(of_kind[what] for of_kind in of_kinds.values())


def quickest(runs):
    """The setting with the least decode time, by medians of kinds and their geometric mean."""
    return min(runs, key=lambda name: over_kinds(by_kind(runs[name], runs[name]), "ours_ms"))
