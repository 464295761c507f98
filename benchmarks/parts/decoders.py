"""One prompt decoded by ours or by transformers' `generate`, with the clocks that tell them apart.

Decode time begins when the prompt has been read: for ours with the first round, for `generate`
with the first tokens that its streamer is handed, which do not count then.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter

ASSISTANT_DEFAULTS = {  # of an assistant, in transformers 5; a run may have changed them
    "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.4,
}


@dataclass(frozen=True)
class Run:
    """Tokens of one prompt, of which `counted` came in `decode` seconds from `since` on."""

    tokens: tuple
    counted: int
    since: float
    decode: float
    total: float
    rounds: tuple = ()

    @property
    def decode_ms(self):
        """Milliseconds a token, the reading of the prompt left out."""
        if not self.counted:  # all of it came with the first step: no other time is known
            return self.total_ms
        return 1000 * self.decode / self.counted

    @property
    def total_ms(self):
        """Milliseconds a token, end to end."""
        return 1000 * self.total / len(self.tokens)

    @property
    def repeated(self):
        """Share of 8-grams that were there before in the same answer: looping flatters lookup."""
        grams = [self.tokens[i : i + 8] for i in range(len(self.tokens) - 7)]
        return 1 - len(set(grams)) / len(grams) if grams else 0.0


def ours(target, draft=None, gamma=None, prepared=None, around=nullcontext, **settings):
    """Our loop, as a function of token ids, temperature, most new tokens and seed.

    `prepared` is given the decoding before its first round, and its rounds run within `around()`.
    """
    from ensemble_lab.tokens.decode import stream

    def run(ids, heat, most, seed):
        begun = perf_counter()
        decoding = stream(
            target,
            ids,
            draft,
            gamma=gamma,
            temperature=heat,
            max_new_tokens=most,
            seed=seed,
            **settings,
        )
        if prepared is not None:
            prepared(decoding)
        since = perf_counter()
        with around():
            for _ in decoding:
                pass
        ended = perf_counter()
        made = decoding.generations[0]
        count = len(made.tokens)
        return Run(made.tokens, count, since, ended - since, ended - begun, made.rounds)

    return run


def theirs(target, assistant=None, assistance=None, **settings):
    """`generate`; `assistance` holds what transformers reads from its assistant's own settings."""

    def run(ids, heat, most, seed):
        import torch

        config, clock = generation_config(target, heat, most, settings), FirstTokens()
        if assistant is not None:
            assistant.generation_config.update(**ASSISTANT_DEFAULTS | (assistance or {}))
        prompt = torch.tensor([ids], device=target.device)
        torch.manual_seed(seed)
        begun = perf_counter()
        with torch.inference_mode():
            out = target.model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=config,
                streamer=clock,
                assistant_model=assistant,
            )
        ended = perf_counter()
        tokens = tuple(out[0, len(ids) :].tolist())
        counted = len(tokens) - clock.first
        return Run(tokens, counted, clock.since, ended - clock.since, ended - begun)

    return run


def generation_config(target, heat, most, settings):
    """All settings in full, so that none is taken from the model's own."""
    from transformers import GenerationConfig

    sampling = {"do_sample": True, "temperature": heat, "top_k": 0, "top_p": 1.0} if heat else {}
    return GenerationConfig(
        max_new_tokens=most,
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=target.ends or None,
        pad_token_id=next(iter(target.ends), None),
        **{"do_sample": False} | sampling | settings,
    )


class FirstTokens:
    """A streamer that notes when the first tokens were there, and how many came at once."""

    def __init__(self):
        self.puts, self.since, self.first = 0, None, 0

    def put(self, tokens):
        self.puts += 1
        if self.puts == 2:  # the first call hands over the prompt
            self.since, self.first = perf_counter(), tokens.numel()

    def end(self):
        pass
