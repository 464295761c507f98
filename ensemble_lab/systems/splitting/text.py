"""One text that stages write together; the end of a stage does not change it.

The client keeps every input of every stage. A stage holds nothing else that cannot be computed
again: its cache is a function of its inputs. So when a stage is lost, another one reads these
inputs in one step and continues where the first one stopped. No cache crosses a link.
Many tokens read at once round otherwise than one by one: in float64 that changes no text, in
bfloat16 it may turn a near-tie. Reading them in the old pieces would give the same bits, but takes
a step for each new token, so as long as the text took; at once, it is one prefill.

References
----------
Borzunov et al., Distributed inference and fine-tuning of large language models over the internet,
NeurIPS 2023 (Petals).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ensemble_lab.models.finite import LEAST, GumbelMax, not_finite
from ensemble_lab.systems.splitting.ends import embed, head
from ensemble_lab.systems.splitting.failures import Forgotten, StageFailed
from ensemble_lab.systems.splitting.measured import Recovery, Step
from ensemble_lab.systems.splitting.waiting import rest_threads
from ensemble_lab.systems.splitting.wire import (
    DTYPES,
    STEP,
    Header,
    bytes_to_states,
    joined,
    states_to_bytes,
)

if TYPE_CHECKING:
    import torch

    from ensemble_lab.systems.splitting.client import Split

TRIES = 5  # stages that may fail one after another at one step


class Text:
    """An iterator over the steps of one text; made by `Split.stream`.

    After `NoStageLeft` everything is kept: with another stage, `next` continues at the same token.

    Attributes
    ----------
    ids : list of int
        The prompt's tokens.
    tokens : list of int
        The new tokens so far.
    """

    def __init__(
        self, split: Split, ids: list[int], most: int, temperature: float, seed: int | None
    ):
        self.split, self.ids, self.most = split, ids, most
        self.tokens: list[int] = []
        self.number = split.next_text()
        model = split.model
        self._ends = set(model.ends)
        hot = temperature >= LEAST
        self._sampler = GumbelMax(temperature, seed, model.device) if hot else None
        self._kept: list[list[bytes]] = [[] for _ in split.slots]  # inputs of each stage
        self._reader: list[object] = [None] * len(split.slots)  # the slot that has read them
        self._read = 0  # tokens that every stage has read

    def __iter__(self) -> Text:
        return self

    def __next__(self) -> Step:
        if len(self.tokens) == self.most or (self.tokens and self.tokens[-1] in self._ends):
            raise StopIteration
        self.split.check_open()
        pieces = [len(kept) for kept in self._kept]
        try:
            return self._step()
        except BaseException:  # also Ctrl-C: the next call reads these tokens again
            for kept, count in zip(self._kept, pieces, strict=True):
                del kept[count:]
            raise

    def _step(self) -> Step:
        """Read the tokens that no stage has read, and choose the next one."""
        import torch

        start, split = time.perf_counter(), self.split
        slots = len(split.slots)
        sent, received, computed, passed = ([0] * slots for _ in range(4))
        recoveries: list[Recovery] = []
        new = (self.ids + self.tokens)[self._read :]
        with torch.inference_mode():
            buffer = states_to_bytes(embed(split.model, new), None)
            for i in range(slots):
                begun = time.perf_counter()
                self._kept[i].append(buffer)
                with split.locks[i]:  # another thread's text may be in another stage
                    header, buffer, out, back = self._through(i, len(new), recoveries)
                sent[i], received[i], computed[i] = out, back, header.seconds
                passed[i] = time.perf_counter() - begun - header.seconds
                buffer = bytes(buffer)
            logits = head(split.model, bytes_to_states(header, buffer))[-1:].float()  # (1, V)
            token = self._chosen(logits)
        self._read += len(new)
        self.tokens.append(token)
        client = time.perf_counter() - start - sum(computed) - sum(passed)
        return Step(
            token, *map(tuple, (sent, received, computed, passed)), client, tuple(recoveries)
        )

    def _through(self, i: int, rows: int, recoveries: list) -> tuple[Header, memoryview, int, int]:
        """The states behind stage i, and bytes there and back; by another stage if it is lost."""
        split, lost, sent, received = self.split, None, 0, 0
        for _ in range(TRIES):
            slot = split.slots[i]
            before = slot.connection.sent, slot.connection.received
            try:
                header, buffer = self._request(i, rows)
                call = slot.connection.send(header, buffer)
                rest_threads()  # the stage needs the cores now
                reply, states = slot.connection.receive(call, header, split.bits_behind(i))
            except StageFailed as error:
                sent += slot.connection.sent - before[0]
                received += slot.connection.received - before[1]
                self._reader[i] = None
                if not isinstance(error, Forgotten):
                    lost = lost or (str(error), time.perf_counter())
                    split.replace(i, error, self)
                continue
            out = slot.connection.sent - before[0]
            self._reader[i] = slot
            if lost:
                seconds = time.perf_counter() - lost[1]
                recoveries.append(Recovery(i, len(self.tokens), lost[0], out, seconds))
            return reply, states, sent + out, received + slot.connection.received - before[1]
        raise StageFailed(f"stage {i} failed {TRIES} times at one token; the first was: {lost}")

    def _request(self, i: int, rows: int) -> tuple[Header, bytes]:
        """The step for stage i: its new input, or all its inputs if it has not read the others."""
        split, kept = self.split, self._kept[i]
        known = self._reader[i] is split.slots[i]
        bits = (split.bits or 0) if i else 0  # the first stage is where the client is
        buffer = kept[-1] if known else joined(kept, split.width, bits or None)
        header = Header(
            STEP,
            dtype=DTYPES.index(split.dtype),
            bits=bits,
            text=self.number,
            position=self._read if known else 0,
            rows=rows if known else self._read + rows,
            width=split.width,
            want=1 if i == len(split.slots) - 1 else rows,
        )
        return header, buffer

    def _chosen(self, logits: torch.Tensor) -> int:
        if not logits.isfinite().all():
            raise not_finite(self.split.model.weights, self.split.model.dtype)
        scores = self._sampler(None, logits) if self._sampler else logits
        return int(scores.argmax(-1))
