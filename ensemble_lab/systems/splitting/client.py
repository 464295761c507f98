"""The client of a split model: embeddings, head and the choice of tokens; the layers are stages."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.prompts import Prompt, read_prompt
from ensemble_lab.models.settings import seed_of, whole
from ensemble_lab.systems.splitting.ends import check_whole
from ensemble_lab.systems.splitting.failures import NoStageLeft, StageFailed
from ensemble_lab.systems.splitting.link import Link
from ensemble_lab.systems.splitting.measured import Continued, StageInfo
from ensemble_lab.systems.splitting.process import StageProcess
from ensemble_lab.systems.splitting.slot import Slot, greeted, right_hello
from ensemble_lab.systems.splitting.text import Text
from ensemble_lab.systems.splitting.weights import write_layers

if TYPE_CHECKING:
    from ensemble_lab.models.language import LanguageModel


class Split:
    """A language model cut into stages; made by `split`, and closed at the end of a ``with``.

    Several threads may each write a text: while one is in a stage, the other is in another one.
    """

    def __init__(
        self,
        model: LanguageModel,
        spans: list[tuple[int, int]],
        links: list[Link | None],
        bits: int | None,
        spares: int,
        room: int,
        patience: float,
        timeout: float,
    ):
        import torch

        self.model, self.bits, self.room = model, bits, room
        self._links, self._spans = links, spans
        self._wanted, self._patience, self._timeout = spares, patience, timeout
        self._texts, self._process = itertools.count(1), os.getpid()
        self._folder = tempfile.TemporaryDirectory(prefix="stages-")
        self._file = Path(self._folder.name) / "layers.safetensors"
        self._threads = torch.get_num_threads()
        self.slots: list[Slot] = []
        self.locks = [threading.Lock() for _ in spans]
        self._spares: list[StageProcess] = []
        self._close = weakref.finalize(self, _close, self.slots, self._spares, self._folder)
        try:
            self._shape, self._digests = write_layers(model, self._file)
            check_whole(model, self._file, self._shape["layers"])
            for _ in range(len(spans) + spares):  # all start at once
                self.add_spare()
            for i in range(len(spans)):
                self.slots.append(self._greeted(i, self._spares.pop(0)))
        except BaseException:
            self.close()
            raise

    @property
    def width(self) -> int:
        """Numbers of the hidden state of a token."""
        return self._shape["width"]

    @property
    def dtype(self) -> str:
        """The number format of weights and states."""
        return self._shape["dtype"]

    @property
    def stages(self) -> tuple[StageInfo, ...]:
        """The stages in the order of their layers."""
        return tuple(
            StageInfo(*span, one.process.pid, one.process.alive)
            for span, one in zip(self._spans, self.slots, strict=True)
        )

    def generate(
        self,
        prompt: Prompt,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int | None = 0,
    ) -> Continued:
        """Continue a prompt, as `LanguageModel.generate` does with the whole model.

        Parameters
        ----------
        prompt : str, list of messages, or list of int
        max_new_tokens : int
        temperature : float
            0 takes the likeliest token every time.
        seed : int or None
            Makes a sample repeatable.

        Returns
        -------
        Continued
            The text, bytes each way, seconds in stages, links and client, and recoveries.

        Raises
        ------
        ModelError
            What is no prompt, or longer with its new tokens than the stages have room for.
        NoStageLeft
            A stage was lost and there is no spare one; `NoStageLeft.text` continues with another.
        """
        text = self.stream(prompt, max_new_tokens, temperature, seed)
        steps = list(text)
        words = self.model.tokenizer.decode(text.tokens, skip_special_tokens=True)
        return Continued.of(words, steps)

    def stream(
        self,
        prompt: Prompt,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seed: int | None = 0,
    ) -> Text:
        """The same token by token: an iterator over `Step`, which may stop at any token.

        Raises
        ------
        ModelError
            As `generate`.
        """
        from ensemble_lab.models.language import check_settings

        check_settings(max_new_tokens, temperature)
        self.check_open()
        ids = list(self.model.token_ids(read_prompt(prompt)))
        if len(ids) + max_new_tokens > self.room:
            raise ModelError(
                f"a prompt of {len(ids)} tokens and max_new_tokens={max_new_tokens} exceed the"
                f" {self.room} tokens that stages have room for: shorten one of them, or give room="
            )
        return Text(self, ids, int(max_new_tokens), temperature, seed_of(seed))

    def kill(self, i: int) -> None:
        """End the process of stage `i` as ``kill -9`` does; the next token finds it gone.

        Raises
        ------
        ValueError
            There is no such stage.
        """
        if not 0 <= whole(i, "i") < len(self.slots):
            raise ValueError(f"no stage {shown(i)}; give 0 to {len(self.slots) - 1}")
        self.slots[i].process.kill()

    def add_spare(self) -> None:
        """Start another process that takes over from the next stage that is lost."""
        self.check_open()
        self._spares.append(StageProcess(self._file, self._threads, remove=True))

    def refill(self) -> None:
        """Start as many spare processes as are missing, so that they are ready for a next loss."""
        while len(self._spares) < self._wanted:
            self.add_spare()

    def close(self) -> None:
        """End all stages; once more does nothing."""
        self._close()

    def __enter__(self) -> Split:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def __repr__(self) -> str:
        spans = ", ".join(f"{first} to {last - 1}" for first, last in self._spans)
        return f"Split({self.model.weights!r}, layers {spans})"

    # What a text asks of its stages.

    def check_open(self) -> None:
        """Raise `StageFailed` after `close`, and where the program was forked since."""
        if not self._close.alive:
            raise StageFailed("this split model is closed; make another one with split(…)")
        if os.getpid() != self._process:  # a socket that was forked never gets an answer
            raise StageFailed("this is of the process that forked this one; make another split(…)")

    def next_text(self) -> int:
        """A number that no text had before."""
        return next(self._texts)

    def bits_behind(self, i: int) -> int:
        """Bits of the states that stage `i` sends; 0 behind the last one, where no cut is."""
        return (self.bits or 0) if i < len(self._spans) - 1 else 0

    def replace(self, i: int, why: StageFailed, text: Text) -> None:
        """Give the layers of stage `i` to a spare process, or to one that is started now.

        Raises
        ------
        NoStageLeft
            There is none.
        """
        self.slots[i].end()
        for _ in range(len(self._spares) + 1):
            if not self._spares:
                if not self._wanted:
                    break
                self.add_spare()
            try:
                self.slots[i] = self._greeted(i, self._spares.pop(0))
                return
            except StageFailed as error:
                why = error
        first, last = self._spans[i]
        raise NoStageLeft(
            f"no stage is left for layers {first} to {last - 1} ({why}); {len(text.tokens)} new"
            " tokens are kept: call add_spare(), then go on with next(error.text)",
            text,
        )

    def _greeted(self, i: int, process: StageProcess) -> Slot:
        """A process as stage `i`, if it has the weights of this model."""
        (first, last), link = self._spans[i], self._links[i]
        right = right_hello(self._shape, self._digests, first, last)
        ask = {
            "first": first,
            "last": last,
            "room": self.room,
            "bits": self.bits_behind(i),
            "link": [link.bandwidth, link.delay] if link else None,
        }
        return greeted(process, link, ask, right, self._patience, self._timeout)


def _close(slots: list[Slot], spares: list[StageProcess], folder) -> None:
    for one in slots:
        one.end()
    for one in spares:
        one.kill()
    folder.cleanup()
