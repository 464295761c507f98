"""A checked folder as a network and its tokenizer: every tensor in its place, or an error.

The weights are opened here and given to transformers tensor by tensor, so that nothing in the
folder can make it open another file: no pickle, no adapter, no code.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import check_finite, few
from ensemble_lab.models.memory import check_memory
from ensemble_lab.models.weights.contents import Contents, contents
from ensemble_lab.models.weights.layout import config_of, laid_out, not_read, size_of
from ensemble_lab.models.weights.safetensors_head import short

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# Packages that transformers needs for quantised weights, by the configuration's `quant_method`.
QUANTISERS = {
    "aqlm": "aqlm", "auto-round": "auto_round", "awq": "gptqmodel", "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed_tensors", "eetq": "eetq", "fbgemm_fp8": "fbgemm_gpu",
    "gptq": "gptqmodel", "higgs": "flute", "hqq": "hqq", "quanto": "optimum", "quark": "quark",
    "spqr": "spqr_quant", "torchao": "torchao", "vptq": "vptq",
}  # fmt: skip
PREFIXES = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "base_model.model.", "model.model.")


def open_folder(
    folder: Path, device: torch.device, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The network in a folder, on a device and in a number format, and its tokenizer.

    Raises
    ------
    NotEnoughMemory
        The weights, or the network of the configuration, would not fit.
    ModelError
        The folder is damaged, or its weights are not those that its configuration describes.
    """
    found = contents(folder)
    config = config_of(folder, found.tensors)
    check_quantised(config, folder)
    network = laid_out(config, folder, found.tensors)
    quantised = getattr(config, "quantization_config", None) is not None
    described = 0 if quantised else size_of(network)
    check_memory(short(folder, 60), max(found.parameters, described), device, dtype)
    tokenizer = read_tokenizer(folder)
    model = read_weights(network, folder, found, dtype, type(network.config) is not type(config))
    model.generation_config = read_generation(folder, model)
    model.name_or_path = model.config.name_or_path = str(folder)
    try:
        model = model.to(device)
    except RuntimeError as error:  # a card that other programs use too
        raise ModelError(
            f"{short(folder)} cannot be put on {device} ({shown(str(error))}): free it, or"
            " use device='cpu'"
        ) from error
    check_finite(model, folder)
    return model, tokenizer


def check_quantised(config: PretrainedConfig, folder: Path) -> None:
    """Raise `ModelError` where weights are quantised by a package that is not installed."""
    from transformers.quantizers import AutoHfQuantizer

    report = getattr(config, "quantization_config", None)
    if report is None:
        return
    report = report.to_dict() if hasattr(report, "to_dict") else report
    method = report.get("quant_method") if isinstance(report, dict) else report
    method = str(getattr(method, "value", method))
    try:
        known = AutoHfQuantizer.supports_quant_method(report)
    except Exception:  # not a mapping, or one without the method's name
        known = False
    if not known:
        raise ModelError(
            f"the weights in {short(folder)} are quantised by {shown(method, 40)}, which is not"
            " known: use the model without quantisation"
        )
    package = QUANTISERS.get(method)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ModelError(
            f"the weights in {short(folder)} are quantised by {shown(method, 40)}, which needs"
            f" the package {package}: install it, or use the model without quantisation"
        )


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A folder's tokenizer, which must know at least one token.

    Raises
    ------
    ModelError
        It is missing or damaged, or needs code that comes with it.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        size = len(tokenizer.get_vocab())
    except Exception as error:  # from unforeseen content of the files
        raise ModelError(
            f"the tokenizer in {short(folder)} cannot be read ({type(error).__name__}:"
            f" {shown(str(error))}): save it there with tokenizer.save_pretrained"
        ) from error
    if size <= len(tokenizer.all_special_ids):
        raise ModelError(
            f"the tokenizer in {short(folder)} has no tokens: save the model's own"
            " there with tokenizer.save_pretrained"
        )
    return tokenizer


def read_weights(
    network: PreTrainedModel, folder: Path, found: Contents, dtype: torch.dtype, part: bool
) -> PreTrainedModel:
    """The network with its numbers.

    Parameters
    ----------
    network : PreTrainedModel
        On the meta device, with its class and configuration.
    folder, found
        The folder, and its files.
    dtype
        Number format.
    part : bool
        Whether it is a part of the configuration's model, such as the text part of a vision model;
        tensors of other parts are left out.

    Raises
    ------
    ModelError
        A tensor is missing, has another shape, or is unknown; or a file cannot be read.
    """
    from safetensors import safe_open

    try:
        with ExitStack() as stack:
            tensors = {}
            for path in found.files:
                file = stack.enter_context(safe_open(path, framework="pt"))
                tensors |= {name: file.get_slice(name) for name in file.keys()}
            model, report = type(network).from_pretrained(
                None,
                config=network.config,
                state_dict=tensors,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are named below
                local_files_only=True,
            )
    except Exception as error:  # from transformers, safetensors, or a quantiser
        raise not_read(folder, error) from error
    check_places(report, folder, part)
    return model.eval()


def check_places(report: dict, folder: Path, part: bool = False) -> None:
    """Raise `ModelError` where weights and network do not have the same tensors.

    Parameters
    ----------
    report : dict
        As transformers reports it: `missing_keys`, `unexpected_keys`, `mismatched_keys`.
    folder : Path
    part : bool
        Tensors of other parts are left out.
    """
    where = short(folder)
    missing = sorted(report["missing_keys"])
    unexpected = [] if part else sorted(report["unexpected_keys"])
    if mismatched := sorted(report["mismatched_keys"], key=str):
        name, held, wanted = mismatched[0]
        raise ModelError(
            f"{where}: {len(mismatched)} of its tensors have other sizes than config.json says,"
            f" such as {shown(name, 60)} ({_sizes(held)}, not {_sizes(wanted)}): fetch both again"
        )
    prefix = next((p for p in PREFIXES if unexpected and unexpected[0].startswith(p)), None)
    if missing and prefix:
        raise ModelError(
            f"{where}: the names of its {len(unexpected)} tensors begin with {shown(prefix)}, as in"
            f" {shown(unexpected[0], 60)}: save the network that was wrapped, or rename them"
        )
    if missing:
        raise ModelError(
            f"{where} lacks {len(missing)} tensors that config.json describes: {few(missing)};"
            " fetch the model again"
        )
    if unexpected:
        raise ModelError(
            f"{where} holds {len(unexpected)} tensors that config.json does not describe:"
            f" {few(unexpected)}; fetch config.json and weights of one model"
        )
    if report.get("error_msgs"):
        raise ModelError(f"{where} cannot be read: {shown(str(report['error_msgs'][0]))}")


def read_generation(folder: Path, model: PreTrainedModel):
    """The generation settings of a folder's model, mainly its end tokens.

    Raises
    ------
    ModelError
        The file is damaged, or an end token is not a whole number.
    """
    from transformers import GenerationConfig

    config = model.generation_config
    if (folder / "generation_config.json").exists():
        try:
            config = GenerationConfig.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # from unforeseen content of the file
            raise ModelError(
                f"generation_config.json in {short(folder)} cannot be read"
                f" ({type(error).__name__}: {shown(str(error), 60)}): fetch it again, or delete it"
            ) from error
    ends = config.eos_token_id
    for end in ends if isinstance(ends, list) else [ends]:
        if end is not None and type(end) is not int:
            raise ModelError(
                f"the end token of the model in {short(folder)} is {shown(end, 40)}: eos_token_id"
                " in generation_config.json or config.json must be a token id, such as 2"
            )
    return config


def _sizes(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
