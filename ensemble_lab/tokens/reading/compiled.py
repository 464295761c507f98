"""The compiled mode: decoder layers through `torch.compile`, and CUDA graphs around them.

One layer is compiled, for any number of tokens, and used for all layers. A whole compiled model is
somewhat quicker, and takes minutes to compile. Without a GPU attention looks at the longest row's
positions; with one all shapes are fixed, so that a read is one replayed graph: attention looks at
the whole capacity, and the few widths occur again and again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import count
from types import FunctionType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.reading.graphs import captured
from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import At
from ensemble_lab.tokens.reading.split import SplitReader
from ensemble_lab.tokens.reading.states import StateReader

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ensemble_lab.tokens.reading.rows import Rows

BACKEND = "inductor"
WIDEST = 64  # more tokens than that are read unpadded
ALIGNED = 64  # a fixed capacity is a multiple of this, which attention kernels prefer
_twins: WeakKeyDictionary = WeakKeyDictionary()
_numbers = count()


class Slot:
    """The cache of a compiled layer: views of one layer's keys and values.

    Everything in it is a tensor, so that only shapes and types are compiled in.
    """

    def __init__(self, positions: torch.Tensor, keys: torch.Tensor, values: torch.Tensor):
        self.positions, self.keys, self.values = positions, keys, values

    def update(self, key_states, value_states, *args, **kwargs):
        """Write (B, H, k, D) at the rows' positions; returns all that is in sight."""
        index = self.positions[:, None, :, None].expand_as(key_states)
        self.keys.scatter_(2, index, key_states)
        self.values.scatter_(2, index, value_states)
        return self.keys, self.values


def step(layer, states, positions, keys, values, rest):
    """One decoder layer."""
    return layer(states, past_key_values=Slot(positions, keys, values), **rest)


def compiled_step() -> Callable:
    """`step` compiled for any sizes; a copy of its code, as torch counts compilations by code."""
    import torch

    code = step.__code__.replace(co_name=f"step_{next(_numbers)}")
    own = FunctionType(code, step.__globals__)
    return torch.compile(own, dynamic=True, fullgraph=True, backend=BACKEND)


def compiled_twin(model: PreTrainedModel) -> PreTrainedModel:
    """The same model, weights shared, whose layers run compiled; made once for each model."""
    from torch import nn

    if model not in _twins:
        run, layers = compiled_step(), []
        for i, layer in enumerate(model.model.layers):
            layers.append(copy.copy(layer))
            layers[i].forward = partial(_layer, run, layer, i)
        trunk, twin = copy.copy(model.model), copy.copy(model)
        trunk._modules = {**model.model._modules, "layers": nn.ModuleList(layers)}
        twin._modules = {**model._modules, "model": trunk}
        _twins[model] = twin
    return _twins[model]


def _layer(run, layer, i, states, past_key_values, **rest):
    """A layer's forward: eager until its cache exists, then compiled."""
    kept, place = past_key_values.layers[i], past_key_values.place
    if place.eager or not kept.is_initialized:
        return layer(states, past_key_values=past_key_values, **rest)
    keys, values = (x[:, :, : place.reach] for x in (kept.keys, kept.values))
    return run(layer, states, place.positions, keys, values, rest)


class Compiled:
    """Makes a `Reader` read through its model's compiled twin; the prompt is read eagerly.

    Tokens are padded to few widths. Padding is written after the row. The next tokens are written
    over it before any query sees it, as over rejected ones.
    """

    def __init__(self, model: PreTrainedModel, rows: int, capacity: int, *rest):
        self.fixed, self.graphs, self.trusting = is_fixed(model.device), {}, nullcontext
        spare = capacity + WIDEST // 2  # more padding than that there never is
        capacity = -(-spare // ALIGNED) * ALIGNED if self.fixed else capacity + 1
        super().__init__(compiled_twin(model), rows, capacity, *rest)

    def fill(self, tokens: torch.Tensor, at: At) -> None:
        """Read (B, k) tokens eagerly: the length of a prompt occurs only once."""
        with self._eagerly():
            super().fill(tokens, at)

    @contextmanager
    def _eagerly(self) -> Iterator[None]:
        self.cache.place.eager = True
        try:
            yield
        finally:
            self.cache.place.eager = False

    def warm(self, rows: Rows, most: int) -> None:
        """Compile, and on a GPU capture, what is needed to read up to `most` tokens at once.

        Rounds then have their final speed, which an adaptive length measures. The tokens read here
        are read again or written over, like rejected tokens.
        """
        at, zeros = rows.last(1)[1], rows.tokens.new_zeros(len(rows), most)
        if not self.cache.layers[-1].is_initialized:  # prompts of one token: nothing was read
            with self._eagerly():
                self._warm(zeros[:, :1], at)
        several = range(1, most + 1) if self.fixed else [1]  # otherwise one is used for all
        for k in sorted({width(k, self.fixed) for k in several}):
            self._warm(zeros[:, :k], at)
        self.trusting = unguarded  # from here on only lengths change

    def _warm(self, tokens, at) -> None:
        self.read(tokens, at)

    def _run(self, trunk, at, tree=None, **inputs):
        from torch.fx.experimental import _config

        if tree is not None:
            raise ModelError("compiled layers read no draft tree: use compiled=False for it")
        if self.cache.place.eager:
            return super()._run(trunk, at, **inputs)
        [(name, states)] = inputs.items()
        k = states.shape[1]
        states = padded(states, width(k, self.fixed))
        # Rows of equal length are read like others: another case would be compiled again.
        at = At(at.start, -1, self.capacity - states.shape[1] if self.fixed else at.high)
        read = partial(super()._run, trunk)
        try:
            # Sizes that are equal by chance, such as 2 rows of 2 tokens, must not stay equal.
            with _config.patch(use_duck_shape=False), self.trusting():
                if self.fixed:
                    out = self._replayed(read, (trunk, name, states.shape), at, states)
                else:
                    out = read(at=at, **{name: states})
        except Exception as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise ModelError(explained(error)) from error
            raise
        for message in ("logits", "last_hidden_state"):
            if message in out:
                out[message] = out[message][:, :k]
        return out

    def _replayed(self, read, key, at, states):
        """The same by a CUDA graph: captured at the first call, then replayed."""
        import torch

        if key not in self.graphs:
            self.graphs[key] = captured(read, key[1], at, states)
        graph, kept, out = self.graphs[key]
        for there, new in zip(kept, (at.start, states), strict=True):
            there.copy_(new)
        graph.replay()
        # The next replay writes over what the graph returned.
        tensors = {name: x for name, x in out.items() if isinstance(x, torch.Tensor)}
        return type(out)(**{name: x.clone() for name, x in tensors.items()})


class CompiledReader(Compiled, Reader):
    """A `Reader` in compiled mode."""


class CompiledStateReader(Compiled, StateReader):
    """A `StateReader` in compiled mode."""


class CompiledSplitReader(Compiled, SplitReader):
    """A `SplitReader` in compiled mode."""

    def _warm(self, tokens, at) -> None:
        self.finish(self.early(tokens, at)[0], at)


COMPILED = {
    Reader: CompiledReader,
    StateReader: CompiledStateReader,
    SplitReader: CompiledSplitReader,
}


def is_fixed(device: torch.device) -> bool:
    """Whether shapes are fixed, for a graph: launching small kernels costs more than they do."""
    return device.type == "cuda"


def width(k: int, fixed: bool) -> int:
    """How many tokens are read for k: never one, which would be compiled separately."""
    if not fixed or k > WIDEST:
        return max(k, 2)
    return max(1 << (k - 1).bit_length(), 2)


def padded(states: torch.Tensor, k: int) -> torch.Tensor:
    """Tokens (B, k) or states (B, k, D) out of fewer, filled up with zeros, and contiguous."""
    import torch

    rows, some, *rest = states.shape
    return torch.cat([states, states.new_zeros(rows, k - some, *rest)], 1).contiguous()


def unguarded() -> AbstractContextManager:
    """Run compiled code without checking first that everything is as when it was compiled.

    The checks, of every weight of every layer, take a tenth of a millisecond a layer.
    """
    import torch

    try:
        return torch.compiler.set_stance(skip_guard_eval_unsafe=True)
    except (AttributeError, TypeError):  # before PyTorch 2.6
        return nullcontext()


def explained(error: Exception) -> str:
    """Why the compiler failed, and the fix."""
    message = f"{type(error).__name__} {error}"
    if "InvalidCxxCompiler" in message:
        why, fix = "finds no C++ compiler", "install g++"
    elif "Python.h" in message:
        why, fix = "finds no Python.h", "install your Python's headers (python3-dev)"
    else:
        why, fix = f"fails ({shown(str(error).strip())})", "see the error above this one"
    return f"torch.compile {why}: {fix}, or leave out compiled=True"
