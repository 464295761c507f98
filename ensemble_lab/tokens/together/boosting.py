"""Token-level boosting: copies of a weak model, each trained more on what earlier ones missed."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import not_finite
from ensemble_lab.models.gradients import trains
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.settings import number, seed_of, whole
from ensemble_lab.tokens.together.combinations import Averaging
from ensemble_lab.tokens.together.combined import CombinedModel
from ensemble_lab.tokens.together.judging import padded, scored

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TokenBoosting:
    """What `boost_tokens` returns.

    Parameters
    ----------
    experts : tuple of LanguageModel
    weights : tuple of float
        alpha of each expert.
    errors : tuple of float
        epsilon of each expert, on the tokens as they were weighted when it was trained.
    baseline : float
        The error of the model before training, on equally weighted tokens.
    """

    experts: tuple[LanguageModel, ...]
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    baseline: float

    def combined(self) -> CombinedModel:
        """The experts as one model: the mean of their probabilities, weighted by alpha."""
        return CombinedModel(self.experts, Averaging(self.weights))


@trains("training of experts", "transformers")
def boost_tokens(
    base: LanguageModel,
    texts,
    *,
    rounds: int = 3,
    steps: int = 100,
    batch: int = 32,
    rate: float = 1e-3,
    seed: int | None = 0,
    progress: bool = True,
) -> TokenBoosting:
    """Train weak experts one after the other by AdaBoost over single tokens.

    Every token y_i of the texts, after those before it, is a row with a weight D_i; at first all
    are equal. In each round

    1. a copy of the base model is trained on the texts, its loss at token i multiplied by D_i;
    2. epsilon = sum of the D_i of the tokens that are not its likeliest one;
    3. alpha = log((1 - epsilon) / epsilon) + log(b / (1 - b)), where b is the base model's error on
       equally weighted tokens;
    4. D_i is multiplied by exp(alpha) where it was wrong, and all are divided by their sum.

    The text of all experts follows sum_t alpha_t p_t / sum_t alpha_t. The rounds end before an
    expert whose epsilon is not below b.

    Parameters
    ----------
    base : LanguageModel
        It is not changed. Experts are trained, and stay, in float32 or, where it has it, float64.
    texts
        As prompts in `decode`, each of two tokens or more.
    rounds : int
        Experts, from 1 up.
    steps : int
        Of AdamW, for each expert.
    batch : int
        Texts a step.
    rate : float
        AdamW's learning rate, above 0.
    seed : int, optional
        Of the order of the texts.
    progress : bool
        Show a bar.

    Returns
    -------
    TokenBoosting
        After a keyboard interrupt: the experts that are finished.

    Raises
    ------
    ModelError
        Something that is not one network, texts that are no prompts, too short or longer than the
        context, or losses that are NaN or infinite.
    ValueError
        A number out of its range, a base model without an error, or no expert that is better.

    Notes
    -----
    With b = 1 - 1 / V, the error of guessing among V tokens, alpha is that of multi-class AdaBoost
    (SAMME). Any language model is far better than that, so a useless expert would get a large
    weight. EnsemW2S therefore compares with the pretrained model. Under the new weights the
    expert's error is exactly b. Errors of 0 and 1 count as half a token from them.

    Boosting promises less errors on the training texts, not a better distribution: weights that
    follow rare tokens make every later expert's loss larger. Compare with one expert that is
    trained for as many steps as all of them (``rounds=1``).

    References
    ----------
    Agrawal et al., EnsemW2S: enhancing weak-to-strong generalization with large language model
    ensembles, Findings of ACL 2026. Zhu et al., Multi-class AdaBoost, Statistics and its interface,
    2009.

    Examples
    --------
    >>> weak, texts = load("tiny-draft"), ["The sea was calm.", "…"]  # doctest: +SKIP
    >>> boosted = boost_tokens(weak, texts)  # doctest: +SKIP
    >>> token_score(boosted.combined(), texts).error  # doctest: +SKIP
    """
    import torch
    from tqdm.auto import tqdm

    for name, value in (("rounds", rounds), ("steps", steps), ("batch", batch)):
        if whole(value, name) < 1:
            raise ValueError(f"{name}={value} trains nothing; use 1 or more")
    if not 0 < number(rate, "rate") < math.inf:
        raise ValueError(f"rate={rate} is not a finite number above 0")
    if isinstance(base, CombinedModel):
        raise ModelError("base is a CombinedModel: give one of its models")
    rows, known = padded(base, texts)
    tokens = int(known.sum())
    wrong = scored(base, rows)[0] & known
    baseline = int(wrong.sum()) / tokens
    if not baseline:
        raise ValueError(f"{shown(base.weights, 60)} names all {tokens} tokens: nothing to learn")
    generator = torch.Generator()
    generator.seed() if seed_of(seed) is None else generator.manual_seed(seed)
    weights = known.double() / tokens  # (N, T - 1), 0 where there is no token
    experts, alphas, errors = [], [], []
    bar = tqdm(total=rounds * steps, desc="experts", unit="step", disable=not progress)
    try:
        for i in range(rounds):
            # 1. Train a copy on the weighted tokens.
            how = steps, batch, rate, generator, bar
            expert = LanguageModel(
                _trained(base, rows, weights, *how),
                base.tokenizer,
                f"expert {i + 1} of {base.weights}",
            )

            # 2. Its error and its weight.
            wrong = scored(expert, rows)[0] & known
            error = float(weights[wrong].sum())
            alpha = expert_weight(error, baseline, tokens)
            if alpha <= 0:
                break
            experts.append(expert)
            alphas.append(alpha)
            errors.append(error)

            # 3. The tokens that it missed count more.
            weights = reweighted(weights, wrong, alpha)
    except KeyboardInterrupt:
        pass
    finally:
        bar.close()
    if not experts:
        raise ValueError(
            f"no expert is better than the model before training (error {baseline:.3f}) after"
            f" {steps} steps: use more steps or another rate than {rate}"
        )
    return TokenBoosting(tuple(experts), tuple(alphas), tuple(errors), baseline)


def expert_weight(error: float, baseline: float, tokens: int) -> float:
    """alpha: log((1 - error) / error) + log(baseline / (1 - baseline))."""
    least = 0.5 / tokens
    error, baseline = (min(max(x, least), 1 - least) for x in (error, baseline))
    return math.log((1 - error) / error) + math.log(baseline / (1 - baseline))


def reweighted(weights: torch.Tensor, wrong: torch.Tensor, alpha: float) -> torch.Tensor:
    """Weights (…) of the tokens after an expert; their sum is 1 again."""
    grown = weights * (alpha * wrong).exp()
    return grown / grown.sum()


def _trained(base: LanguageModel, rows, weights, steps, batch, rate, generator, bar):
    """A copy of the network, trained on the rows with the weights of their tokens."""
    import torch
    from torch.nn import functional as F

    with torch.inference_mode(False):
        network = copy.deepcopy(base.model).to(torch.promote_types(base.dtype, torch.float32))
    adam = torch.optim.AdamW(network.parameters(), rate)
    share = weights * (weights > 0).sum() / weights.sum()  # 1 on average
    for _ in range(steps):
        some = torch.randint(len(rows), (min(batch, len(rows)),), generator=generator)
        some = some.to(rows.device)
        logits = network(rows[some], use_cache=False).logits[:, :-1]
        losses = F.cross_entropy(logits.flatten(0, 1), rows[some, 1:].flatten(), reduction="none")
        loss = (losses * share[some].flatten()).sum() / (weights[some] > 0).sum()
        if not loss.isfinite():
            raise not_finite(base.weights, network.dtype)
        adam.zero_grad()
        loss.backward()
        adam.step()
        bar.update()
    return network
