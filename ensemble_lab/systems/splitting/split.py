"""`split`: one language model as several processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.settings import number, whole
from ensemble_lab.systems.splitting.cuts import check_cuts
from ensemble_lab.systems.splitting.link import Link

if TYPE_CHECKING:
    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.systems.splitting.client import Split


def split(
    model: LanguageModel,
    after: int | Sequence[int],
    link: Link | Sequence[Link | None] | None = None,
    bits: int | None = None,
    *,
    spares: int = 1,
    room: int | None = None,
    patience: float = 4.0,
    timeout: float = 60.0,
) -> Split:
    """Cut a language model after some layers into stages that are processes of this machine.

    This process stays the client: it keeps embeddings and head, chooses the tokens, and keeps what
    each stage has read. It shares its machine with the first stage; each further stage is behind a
    link. A stage that is lost is replaced, and the text is the same; in bfloat16 except at
    near-ties, because its successor reads many tokens at once. Stages keep the weights that the
    model has now: one that is trained further, or changed otherwise, is split again.

    Parameters
    ----------
    model : LanguageModel
        A Llama or Qwen2 on the CPU, from `load`, with weights in a floating-point format.
    after : int or sequence of int
        After how many layers to cut, each from 1 to the number of layers less 1, increasing.
    link : Link, sequence of Link or None, or None
        What lies between the client and the stage behind each cut; one for all cuts, or one a cut.
    bits : {None, 8}
        8 sends the states at cuts as bytes, with one scale a token.
    spares : int
        Processes that wait to replace a stage. Where they are used up, a new one is started at the
        loss, which takes seconds; `Split.refill` starts them before. 0 replaces no stage.
    room : int, optional
        Tokens of a text that stages take; by default what the model can see.
    patience : float
        Seconds without a sign of life after which a stage counts as lost.
    timeout : float
        Seconds after which a step that was not answered counts as lost.

    Returns
    -------
    Split
        Use it in a ``with``, or call ``close()``.

    Raises
    ------
    ModelError
        It is not such a model.
    StageFailed
        A stage could not be started.
    ValueError
        A cut that leaves a stage without layers, or another setting that cannot be.

    Notes
    -----
    Stages have as many threads as PyTorch has here. Where that is as many as there are cores,
    threads of the client must not wait actively while a stage computes. With GNU's OpenMP, which
    PyTorch has under Linux, they are ended at each message. With LLVM's or Intel's,
    ``KMP_BLOCKTIME=0`` in the environment before Python starts does the same.

    References
    ----------
    Borzunov et al., Distributed inference and fine-tuning of large language models over the
    internet, NeurIPS 2023. Kang et al., Neurosurgeon, ASPLOS 2017.

    Examples
    --------
    >>> with split(load("tiny", dtype="float32"), after=2) as stages:  # doctest: +SKIP
    ...     print(stages.generate("The sea", 8).sent)
    """
    require("split", "torch", "safetensors", "zmq")
    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.systems.splitting.client import Split

    if not isinstance(model, LanguageModel):
        raise ValueError(f"model={shown(model)} is not a language model; give load('tiny')")
    spans = _spans(after, model.model.config.num_hidden_layers)
    if bits is not None and (isinstance(bits, bool) or bits != 8):
        raise ValueError(f"bits={shown(bits)}; give 8, or None for the model's own numbers")
    sees = getattr(model.model.config, "max_position_embeddings", None) or 2048
    room = sees if room is None else whole(room, "room")
    if not 0 < room <= sees:
        raise ValueError(f"room={shown(room)} tokens; the model sees 1 to {sees}: give one of them")
    if whole(spares, "spares") < 0:
        raise ValueError(f"spares={shown(spares)} processes; give 0 or more")
    for name, value in (("patience", patience), ("timeout", timeout)):
        if not 0 < number(value, name) < math.inf:
            raise ValueError(f"{name}={shown(value)} is not a time; give seconds above 0")
    links = _links(link, len(spans) - 1)
    return Split(model, spans, [None, *links], bits, spares, room, patience, timeout)


def _spans(after, layers: int) -> list[tuple[int, int]]:
    """First layer of each stage, and the one behind its last."""
    cuts = check_cuts(after, layers)
    return list(zip([0, *cuts], [*cuts, layers], strict=True))


def _links(link, cuts: int) -> list[Link | None]:
    if link is None or isinstance(link, Link):
        return [link] * cuts
    links = several(link, "link")
    if wrong := [one for one in links if not (one is None or isinstance(one, Link))]:
        raise ValueError(f"link={shown(wrong[0])} is no Link; give Link(bandwidth=…, delay=…)")
    if len(links) != cuts:
        raise ValueError(f"link has {len(links)} entries for {cuts} cuts; give one a cut")
    return links
