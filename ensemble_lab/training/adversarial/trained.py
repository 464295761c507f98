"""What training leaves: the networks of every seed, their losses, and states to step through."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.models.gradients import trains
from ensemble_lab.training.adversarial.states import Pairs
from ensemble_lab.training.adversarial.training import Training
from ensemble_lab.training.another_output.rules import count
from ensemble_lab.training.batched.threads import threads_for

if TYPE_CHECKING:
    from torch import Tensor

WINDOW = 100  # steps of which the last losses are looked at


class Trained:
    """Generators and discriminators of m seeds that have learned, and can go on learning.

    Attributes
    ----------
    seeds : (m,) tuple of int
    states : list of Pairs
        The first is before training, the last as it is now, those between after every
        `record_every` steps. A seed whose loss became NaN keeps its last state before that.
    discriminator_losses, generator_losses : (steps, m) array
        Each before the update of its step; NaN for a seed from where it stopped.
    stopped : dict of int to int
        The step at which the loss of a seed became NaN or infinite, by seed.
    """

    def __init__(self, training: Training):
        self._training, self.seeds = training, training.how.seeds
        self.states = [training.pairs()]
        m = len(self.seeds)
        self.discriminator_losses, self.generator_losses = np.empty((0, m)), np.empty((0, m))
        self.stopped: dict[int, int] = {}

    @property
    def last(self) -> Pairs:
        """The networks as they are now."""
        return self.states[-1]

    @property
    def steps(self) -> int:
        """How many steps they have learned."""
        return len(self.generator_losses)

    def sample(self, n: int, rng=None, averaged: bool = False) -> np.ndarray:
        """Samples (m, n, d) of the last state; see `Pairs.sample`."""
        return self.last.sample(n, rng, averaged)

    @trains("adversarial training")
    def more(self, steps: int) -> Trained:
        """Go on for so many steps, exactly as if it had not stopped.

        Interrupted by the keyboard, it keeps what is learned, and can go on: with the step that
        was interrupted.

        Warns
        -----
        UserWarning
            A seed's loss became NaN or infinite: it is named with its step, and its last state
            before that is kept. Or a discriminator is right about nearly every row.
        """
        from tqdm.auto import tqdm

        end = self._training.step + count(steps, "steps")
        bar = tqdm(
            total=steps,
            desc=f"{len(self.seeds)} pairs",
            unit="step",
            disable=not self._how.progress,
        )
        losses: list[tuple[Tensor, Tensor]] = []
        try:
            with bar, threads_for(self._products()):
                for turns in self._training.turns():
                    if len(self.stopped) == len(self.seeds):
                        break
                    losses.append(self._training.learn(turns))
                    bar.update()
                    done = self._training.step == end
                    if done or self._training.step % self._how.record_every == 0:
                        self._record(losses)
                        losses = []
                    if done:
                        break
        except KeyboardInterrupt:
            if losses and self._training.step > self.last.step:
                self._record(losses)
        self._warn_of_certainty()
        return self

    @property
    def _how(self):
        return self._training.how

    def _products(self) -> int:
        weights = (w.numel() for of in self._training.networks()[:2] for w in of)
        return sum(weights) * self._how.batch_size

    def _record(self, losses: list[tuple[Tensor, Tensor]]) -> None:
        """Keep the state and the losses since the last one; stop seeds that became NaN."""
        import torch

        now, before = self._training.pairs(), self.last
        d, g = (torch.stack(of).double().cpu().numpy() for of in zip(*losses, strict=True))
        right = np.isfinite(d) & np.isfinite(g)  # (steps, m)
        for i, seed in enumerate(self.seeds):
            broken = not all(bool(w[i].isfinite().all()) for of in now.networks() for w in of)
            if seed not in self.stopped and (broken or not right[:, i].all()):
                first = self.steps + (len(d) if right[:, i].all() else int(right[:, i].argmin()))
                self.stopped[seed] = first
                self._warn_of_nan(seed, first, before.step)
            if seed in self.stopped:
                row = self.stopped[seed] - self.steps
                d[max(row, 0) :, i] = g[max(row, 0) :, i] = np.nan
                for new, old in zip(now.networks(), before.networks(), strict=True):
                    for w, kept in zip(new, old, strict=True):
                        w[i] = kept[i]
        self.discriminator_losses = np.concatenate([self.discriminator_losses, d])
        self.generator_losses = np.concatenate([self.generator_losses, g])
        self.states.append(now)

    def _warn_of_nan(self, seed: int, step: int, kept: int) -> None:
        rates = self._how.generator_rate, self._how.discriminator_rate
        warnings.warn(
            f"seed {seed:d}: a loss became NaN or infinite in step {step:d}; its networks of step"
            f" {kept:d} are kept, and the other seeds go on. Use lower rates than"
            f" {excerpt(shown(rates))}, or scale X to numbers around 1",
            stacklevel=5,
        )

    def _warn_of_certainty(self) -> None:
        """Say which discriminators are right about everything, and what that means."""
        certain_below = self._how.certain_below
        if certain_below is None or self.steps < WINDOW:
            return
        loss = self.discriminator_losses[-WINDOW:].mean(0)
        certain = [str(s) for s, one in zip(self.seeds, loss, strict=True) if one < certain_below]
        if certain:
            warnings.warn(
                f"the discriminators of seeds {excerpt(', '.join(certain))} are right about nearly"
                f" every row: their loss is below {certain_below:g} in the last {WINDOW} steps."
                " That is no success: it leaves the generators hardly anything to learn from. Use a"
                " lower discriminator_rate, or WassersteinGAN",
                stacklevel=4,
            )
