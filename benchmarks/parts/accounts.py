"""Where decode time goes: what the formula expects of a draft, and what is spent off the model."""

from statistics import median
from time import perf_counter


def middle_of(runs, plain, gamma):
    """The prompt in the middle by its share of the formula, and the shares of all."""
    pairs = [(runs[kind][0], plain[kind][0]) for kind in runs]
    found = [held_to_formula(run, steps, gamma) for run, steps in pairs]
    ordered = sorted((f for f in found if f), key=lambda f: f["share"])
    if not ordered:
        raise ValueError(f"no round drafted {gamma} tokens: use longer prompts or answers")
    middle = ordered[(len(ordered) - 1) // 2]
    return middle | {"shares": [f["share"] for f in ordered]}


def held_to_formula(run, plain, gamma):
    """alpha, c and v of one prompt, the formula's speedup with them, and the one measured.

    Only rounds count in which `gamma` tokens were drafted; None where there is none.
    """
    from ensemble_lab.tokens.lengths import speedup

    full = [r for r in run.rounds if len(r.proposed) == gamma]
    if not full:
        return None
    step = plain.decode / len(plain.rounds)  # seconds
    alpha = sum(r.accepted for r in full) / sum(min(r.accepted + 1, gamma) for r in full)
    c = sum(r.draft for r in full) / len(full) / gamma / step
    v = sum(r.verify for r in full) / len(full) / step
    seconds = sum(r.draft + r.verify + r.host for r in full)
    measured = sum(len(r.tokens) for r in full) / seconds * step
    formula = float(speedup(alpha, gamma, c, v))
    found = {"alpha": alpha, "c": c, "v": v, "measured": measured, "formula": formula}
    return found | {"rounds": len(full), "share": measured / formula}


def host_percent(target, decoder_of, prompts, most):
    """Percent of decode time outside the models: the median over prompts.

    `decoder_of` gives the decoder for the clock that listens to it.
    """
    shares = []
    for ids in prompts:
        with ForwardClock(target.model) as clock:
            run = decoder_of(clock)(ids, 0.0, most, 0)
        shares.append(100 * clock.host_share(run))
    return median(shares)


class ForwardClock:
    """Seconds within a model's layers and its head, and a draft's, for any caller."""

    def __init__(self, model):
        self.parts, self.spans, self._starts = (model.model, model.lm_head), [], []

    def __enter__(self):
        self._hooks = []
        for part in self.parts:
            self._hear(part)
        return self

    def _hear(self, part):
        self._hooks.append(part.register_forward_pre_hook(self._begin))
        self._hooks.append(part.register_forward_hook(self._end))

    def hear_draft(self, decoding):
        """Count the layers of a head as the model's: they are no work of the host's."""
        draft = getattr(decoding.session.draft, "second", None)  # of a lookup followed by a head
        for layer in draft.model.layers if draft is not None else ():
            self._hear(layer)

    def __exit__(self, *error):
        for hook in self._hooks:
            hook.remove()

    def _begin(self, *_):
        self._starts.append(perf_counter())

    def _end(self, *_):
        self.spans.append((self._starts.pop(), perf_counter()))

    def host_share(self, run):
        """Share of a run's decode time that is outside the model."""
        inside = sum(end - start for start, end in self.spans if start >= run.since)
        return 1 - inside / run.decode
