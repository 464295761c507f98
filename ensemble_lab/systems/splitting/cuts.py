"""States in 8 bits at a cut: half the bytes of bfloat16, and what that changes.

A number becomes the nearest of 255 steps between the largest magnitude and its negative. The steps
are those of one token, or of the whole message. One token with large channels, as the first token
of a text has in most language models, makes the steps of the whole message too large for others.
In a text of 67 tokens, with SmolLM2 cut after 15 layers, a scale a token turns the likeliest token
at 13 % of the positions, and one scale for all at 97 %.

Stages send one scale a token. One for the whole message would save 2 bytes a token in a prefill,
which is 0.3 % of a token with 576 numbers, and nothing in decoding, where a message is one token.
It would also round a token by what was read together with it. So `cut_errors` measures it, and the
wire does not offer it.

References
----------
Dettmers et al., LLM.int8(): 8-bit matrix multiplication for transformers at scale, NeurIPS 2022.
Matsubara, Levorato and Restuccia, Split computing and early exiting for deep learning applications,
ACM Computing Surveys 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.models.settings import whole

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel

SCALES = ("token", "tensor")


class CutError(NamedTuple):
    """What a cut in 8 bits changes of the next token's distribution."""

    after: int
    """The cut is behind so many layers."""
    scale: str
    """``"token"`` or ``"tensor"``: what shares a scale."""
    divergence: float
    """Mean KL divergence, in nats, of the distribution with this cut from the model's own."""
    changed: float
    """Share of the positions at which another token is the likeliest."""
    tokens: int
    """Positions measured."""


def round_rows(states: torch.Tensor, scale: str = "token") -> tuple[torch.Tensor, torch.Tensor]:
    """States (n, D) as scales in bfloat16, (n,) or (1,), and whole numbers (n, D) to +-127."""
    import torch

    largest = states.abs().amax(-1).float()  # (n,)
    if scale == "tensor":
        largest = largest.amax(0, keepdim=True)  # (1,)
    scales = (largest / 127).to(torch.bfloat16)
    scales[scales == 0] = 1  # a row of zeros
    rows = (states.float() / scales.float()[:, None]).round().clamp(-127, 127)
    return scales, rows.to(torch.int8)


def cut_errors(
    model: LanguageModel,
    prompts: str | Sequence,
    after: int | Sequence[int] | None = None,
    scale: str = "token",
) -> list[CutError]:
    """Measure what 8 bits at one cut change, for several cuts, without starting any stage.

    Each text is read at once, so that ``"tensor"`` has one scale for all its tokens, as a message
    with a prompt has.

    Parameters
    ----------
    model : LanguageModel
        A model whose layers are ``model.model.model.layers``, such as a Llama.
    prompts : str or sequence
        Texts to read; a text is read as `LanguageModel.encode` does it.
    after : int or sequence of int, optional
        The cuts to measure; by default each one, after 1 layer to all except the last.
    scale : {"token", "tensor"}
        What shares a scale.

    Returns
    -------
    list of CutError
        One a cut, in their order.

    Raises
    ------
    ModelError
        The model has no such layers, or a prompt is none.
    ValueError
        A cut that leaves no layer before or behind, or an unknown `scale`.

    Examples
    --------
    All cuts of a small model, by what shares a scale:

    >>> import pandas as pd
    >>> import ensemble_lab as lab
    >>> model, text = lab.load("tiny", dtype="float32"), "Once upon a time there was a small model."
    >>> token, tensor = (lab.cut_errors(model, text, scale=one) for one in ("token", "tensor"))
    >>> table = pd.DataFrame(token + tensor).pivot(index="after", columns="scale")
    >>> table["divergence"].round(4)  # doctest: +NORMALIZE_WHITESPACE
    scale  tensor   token
    after
    1      0.0008  0.0002
    2      0.0006  0.0002
    3      0.0003  0.0002
    """
    require("cut_errors", "torch", "transformers")
    import torch
    from tqdm import tqdm

    if scale not in SCALES:
        raise ValueError(f"scale={shown(scale)}; give 'token' or 'tensor'")
    layers = getattr(getattr(getattr(model, "model", None), "model", None), "layers", None)
    if layers is None:
        raise ModelError(f"{shown(model)} has no layers to cut; give a model such as load('tiny')")
    cuts = check_cuts(range(1, len(layers)) if after is None else after, len(layers))
    texts = [model.encode(one)["input_ids"] for one in read_prompts(prompts)[0]]  # (1, t) each
    tokens = sum(ids.shape[1] for ids in texts)
    total = {cut: [0.0, 0.0] for cut in cuts}
    with torch.inference_mode(), tqdm(total=len(texts) * len(cuts), leave=False) as bar:
        for ids in texts:
            own = model.model(ids).logits[0].double().log_softmax(-1)  # (t, V)
            for cut in cuts:
                with _rounded(layers[cut], scale):
                    other = model.model(ids).logits[0].double().log_softmax(-1)
                total[cut][0] += float((own.exp() * (own - other)).sum())
                total[cut][1] += float((own.argmax(-1) != other.argmax(-1)).sum())
                bar.update()
    return [
        CutError(cut, scale, max(0.0, far / tokens), changed / tokens, tokens)
        for cut, (far, changed) in total.items()
    ]


def check_cuts(after, layers: int) -> list[int]:
    """Increasing cuts, each from 1 to `layers` less 1; one number is one cut.

    Raises
    ------
    ValueError
        There is none, one leaves a stage without layers, or they do not increase.
    """
    alone = hasattr(after, "__index__") and not getattr(after, "ndim", 0)
    cuts = [after] if alone else several(after, "after")
    cuts = [whole(cut, "after") for cut in cuts]
    if not cuts:
        raise ValueError(f"after={shown(after)} has no cut; give one from 1 to {layers - 1}")
    for cut in cuts:
        if not 0 < cut < layers:
            raise ValueError(
                f"a cut after layer {shown(cut)} leaves a stage without layers; this model has"
                f" {layers}: use 1 to {layers - 1}"
            )
    if sorted(set(cuts)) != cuts:
        raise ValueError(f"after={shown(after)} does not increase; give each cut once, in order")
    return cuts


def _rounded(layer, scale: str):
    """Round the states that go into `layer`, until the handle is left."""

    def rounded(_, inputs):
        states, *rest = inputs
        scales, rows = round_rows(states[0], scale)
        return ((rows.float() * scales.float()[:, None])[None].to(states.dtype), *rest)

    return layer.register_forward_pre_hook(rounded)
