"""Tiny language models whose exact distribution of a few tokens is known, and tests against it.

The exact joint distribution of n tokens is the product of the model's conditionals over all
prefixes, read without any cache. Samples are compared with it by a chi-square test.
"""

import __future__

import inspect
import itertools
import textwrap
from functools import cache
from types import SimpleNamespace

import torch
from scipy.stats import chi2

from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import stream

VOCABULARY = 6
NO_WORDS = SimpleNamespace(eos_token_id=None, chat_template=None, decode=lambda tokens, **_: "")


def network(seed, layers=2, vocabulary=VOCABULARY, hidden=16, spread=0.5, **settings):
    """A Llama in float64 with random weights, spread so that its tokens are far from uniform."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **{
            "vocab_size": vocabulary,
            "hidden_size": hidden,
            "intermediate_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 64,
            "initializer_range": spread,
            "eos_token_id": None,
            "bos_token_id": None,
            "pad_token_id": None,
            **settings,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).double().eval()


def language_model(model):
    return LanguageModel(model, NO_WORDS, "a toy")


@cache
def toy(seed, layers=2, **settings):
    return language_model(network(seed, layers, **settings))


def toy_head(seed, config, ids):
    """A feature-level head with random weights for a toy, which can propose only some tokens."""
    from transformers import LlamaConfig

    from ensemble_lab.tokens.drafts.head import FeatureHead

    small = LlamaConfig(**{**config.to_diff_dict(), "num_hidden_layers": 1})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = FeatureHead(small, torch.tensor(ids))
        torch.nn.init.normal_(head.join.weight, std=0.5)
    return head.double().eval()


def batch_by_generate(ours, prompts, most):
    """What transformers' greedy search gives, on rows that are padded on the left."""
    longest, ends = max(map(len, prompts)), ours.ends
    tokens = torch.tensor([[ends[0]] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    made = ours.model.generate(
        tokens, attention_mask=mask, max_new_tokens=most, do_sample=False, pad_token_id=ends[0]
    )[:, longest:].tolist()
    for row in made:
        end = next((i for i, token in enumerate(row) if token in ends), len(row))
        del row[end + 1 :]
    return made


@torch.inference_mode()
def exact_distribution(target, sampling, prompt, n):
    """The joint distribution (V,) * n of the n tokens behind a prompt; none of them ends a text."""
    size = target.model.config.vocab_size
    joint = torch.ones(1, dtype=torch.float64)
    for i in range(n):
        prefixes = [[*prompt, *rest] for rest in itertools.product(range(size), repeat=i)]
        logits = target.model(torch.tensor(prefixes), use_cache=False).logits[:, -1]
        joint = (joint[:, None] * sampling.distribution(logits)).flatten()  # (V^(i + 1),)
    return joint.reshape((size,) * n)


def drawn(target, prompts, draft, n, seed, **settings):
    """The first n tokens behind every prompt (B, n), as texts that are stopped when they are there.

    What is drafted is not cut by the end of the text: there is always room for more.
    """
    decoding = stream(target, prompts, draft, seed=seed, **settings)
    starts = [len(prompt) for prompt in prompts]
    texts = decoding.session.rows.texts
    for _ in decoding:
        if all(len(text) - start >= n for text, start in zip(texts, starts)):
            break
    return torch.tensor([text[start : start + n] for text, start in zip(texts, starts)])


def counted(tokens, size=VOCABULARY):
    """How often each n-gram is among the rows (B, n): (V,) * n."""
    n = tokens.shape[1]
    places = size ** torch.arange(n - 1, -1, -1)
    return torch.bincount(tokens @ places, minlength=size**n).reshape((size,) * n)


def p_value(*pairs, least=5.0):
    """Of Pearson's chi-square test of counts with distributions, all pairs together.

    Cells expected less than `least` times are pooled; 0 where something was counted that cannot
    happen.
    """
    found = [
        _statistic(counts.flatten(), distribution.flatten(), least)
        for counts, distribution in pairs
    ]
    return float(chi2.sf(sum(x for x, _ in found), sum(freedom for _, freedom in found)))


def _statistic(counts, distribution, least):
    if counts[distribution == 0].any():
        return float("inf"), 1
    expected = distribution * counts.sum()
    rare = expected < least
    cells = [torch.cat([x[~rare], x[rare].sum()[None]]) for x in (counts.double(), expected)]
    seen, expected = (x[cells[1] > 0] for x in cells)
    return ((seen - expected) ** 2 / expected).sum().item(), len(expected) - 1


class Chance:
    """Stands in for numpy's Generator: takes the ways that it is told to, then the first ones.

    Attributes
    ----------
    probability : float
        Of all the ways that were taken.
    others : list of list of int
        The ways that were left aside, each as what to tell another one.
    """

    def __init__(self, ways):
        self.ways, self.taken, self.others, self.probability = ways, [], [], 1.0

    def choice(self, n, p):
        """A token out of n by the distribution p (n,)."""
        return self._go(p)

    def random(self):
        """A number in [0, 1) of which only is known whether it is less than another."""
        return Uniform(self)

    def _go(self, p):
        if len(self.taken) < len(self.ways):
            way = self.ways[len(self.taken)]
        else:
            way, *rest = (i for i, share in enumerate(p) if share > 0)
            self.others += [[*self.taken, other] for other in rest]
        self.taken.append(way)
        self.probability *= p[way]
        return way


class Uniform:
    """What `Chance.random` gives."""

    def __init__(self, chance):
        self.chance = chance

    def __lt__(self, share):
        share = min(share, 1.0)
        return bool(self.chance._go([1 - share, share]))


def every_way(play):
    """Whatever can become of `play(rng)`, each with its probability: exact, by enumeration."""
    ways = [[]]
    while ways:
        chance = Chance(ways.pop())
        result = play(chance)
        yield chance.probability, result
        ways += chance.others


def mutant(function, old, new):
    """The function with a fault planted: `old` stands once in its source and becomes `new`."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, (old, source)
    code = compile(source.replace(old, new), "mutant", "exec", __future__.annotations.compiler_flag)
    made = {}
    exec(code, function.__globals__, made)
    return made[function.__name__]
