"""The network of a configuration, laid out without taking memory for it.

The network is laid out on torch's meta device, where a tensor has a shape and no numbers. The
layout stops when it is larger than any model: a few lines in an untrusted `config.json` can ask for
any amount of memory.
"""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.weights.contents import read_json
from ensemble_lab.models.weights.safetensors_head import short

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

MOST_LAYERS = 10_000  # more than any model has
DEPTHS = {"num_hidden_layers", "num_layers", "n_layers", "n_layer", "decoder_layers"}
MOST_TENSORS = 200_000
MOST_PARAMETERS = 10**13
SAVE = "save model and tokenizer into it"


class TooMuch(Exception):
    """The network is larger than allowed."""


def config_of(folder: Path, tensors: int | None = None) -> PretrainedConfig:
    """A folder's configuration, of an architecture that transformers itself has.

    Parameters
    ----------
    folder : Path
    tensors : int, optional
        The number of tensors in the weights: there cannot be more layers.

    Raises
    ------
    ModelError
        The file is damaged, describes no causal language model, or asks for too many layers.
    """
    from transformers import AutoConfig

    if not (folder / "config.json").exists():
        raise ModelError(f"{short(folder)} has no config.json: {SAVE}")
    check_layers(read_json(folder / "config.json"), folder, tensors)
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # from unforeseen content of the file
        raise not_read(folder, error) from error


def check_layers(values: dict[str, Any], folder: Path, tensors: int | None) -> None:
    """Raise `ModelError` where a configuration asks for more layers than the weights can have.

    It is checked before transformers reads it, which makes lists with an entry for each layer.
    """
    for name, value in _settings(values):
        few = (
            tensors is not None and name in DEPTHS
        )  # others, such as those of windows, may be larger
        most = min(tensors, MOST_LAYERS) if few else MOST_LAYERS
        if "layer" in name and type(value) in (int, float) and value > most:
            held = f"the weights hold {tensors} tensors" if few else "no model has so many"
            raise ModelError(
                f"config.json in {short(folder)} says {name}={shown(value, 30)}, and {held}:"
                " fetch it again"
            )


def _settings(values: dict[str, Any]):
    """Names and values, also of nested mappings."""
    open_ends = [values]
    while open_ends:
        for name, value in open_ends.pop().items():
            yield name, value
            if isinstance(value, dict):
                open_ends.append(value)


def laid_out(config: PretrainedConfig, folder: Path, tensors: int | None = None) -> PreTrainedModel:
    """The network that a configuration describes, on the meta device.

    Parameters
    ----------
    config
    folder : Path
        For messages.
    tensors : int, optional
        The number of tensors in the weights; a network has at most a few times as many.

    Raises
    ------
    ModelError
        There is no such causal language model, or it is larger than any.
    """
    import torch
    from transformers import AutoModelForCausalLM

    most = MOST_TENSORS if tensors is None else min(8 * tensors + 64, MOST_TENSORS)
    try:
        with torch.device("meta"), _Limited(most):
            return AutoModelForCausalLM.from_config(copy.deepcopy(config), trust_remote_code=False)
    except TooMuch as error:
        raise ModelError(
            f"config.json in {short(folder)} describes {error}, which its weights cannot have:"
            " fetch it again"
        ) from None
    except Exception as error:  # from unforeseen content of the file
        raise not_read(folder, error) from error


def size_of(network: PreTrainedModel) -> int:
    """Parameters of a network, those that are shared counted once."""
    return sum(one.numel() for one in network.parameters())


class _Limited:
    """Stops the construction of a network with too many parameters, in this thread."""

    def __init__(self, tensors: int):
        self.most, self.tensors, self.numbers = tensors, 0, 0
        self.thread = threading.get_ident()

    def __enter__(self) -> None:
        from torch.nn.modules.module import register_module_parameter_registration_hook

        self.hook = register_module_parameter_registration_hook(self._count)

    def __exit__(self, *error: object) -> None:
        self.hook.remove()

    def _count(self, module, name, parameter) -> None:
        if parameter is None or threading.get_ident() != self.thread:
            return
        self.tensors += 1
        self.numbers += parameter.numel()
        if self.tensors > self.most:
            raise TooMuch(f"more than {self.most:,} tensors")
        if self.numbers > MOST_PARAMETERS:
            raise TooMuch(f"more than {MOST_PARAMETERS:,} numbers")


def not_read(folder: Path, error: BaseException) -> ModelError:
    """The error for a folder that transformers does not read."""
    return ModelError(
        f"{short(folder)} holds no causal language model that transformers reads"
        f" ({type(error).__name__}: {shown(str(error), 80)}): {SAVE}"
    )
