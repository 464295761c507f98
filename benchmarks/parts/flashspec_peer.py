"""flashspec, which decodes through static caches and CUDA graphs, called like any decoder."""

from importlib import metadata
from time import perf_counter

from benchmarks.parts.decoders import Run
from benchmarks.parts.peers import check_installed

MODEL, LOOKUP = 0, 1  # its drafters
ARMS = {  # what it chooses by itself for one draft model, and its two drafters alone
    "look-up of 6, else draft of 2": {
        "drafter": LOOKUP,
        "gamma": 6,
        "fallback": MODEL,
        "fallback_gamma": 2,
    },
    "draft of 2": {"drafter": MODEL, "gamma": 2},
    "look-up of 6": {"drafter": LOOKUP, "gamma": 6},
}


class Flashspec:
    """Its engines for a target and a draft model, greedy; they share caches and graphs.

    Raises
    ------
    PeerMissing
        It is not installed.
    """

    def __init__(self, target, draft):
        check_installed("flashspec", "pip install flashspec")
        import torch
        from flashspec.engine import HuggingFaceDrafter, NgramDrafter, TargetModel

        torch._dynamo.reset()  # what was compiled for others would change what is for it
        self.ends, self.version = sorted(target.ends), metadata.version("flashspec")
        self.device = target.device
        self.target = TargetModel("target", self.device, target.dtype, target.model)
        model = HuggingFaceDrafter("draft", self.device, draft.dtype, model=draft.model)
        self.drafters = [model, NgramDrafter()]

    @property
    def fell_back(self):
        """Why it stopped using what it compiled, for each model that did."""
        owners = {"target": self.target, "draft": self.drafters[MODEL]}
        why = {
            name: getattr(of._inc, "compile_fallback_reason", None) for name, of in owners.items()
        }
        return {name: reason for name, reason in why.items() if reason}

    def decoder(self, arm):
        """A function of token ids, temperature (0), most new tokens and seed (none is drawn)."""
        import torch
        from flashspec import FlashSpecConfig, SamplingConfig, SpeculativeEngine
        from flashspec.engine.arms import ArmSpec

        config = FlashSpecConfig(
            device=str(self.device),
            eos_token_ids=self.ends,
            sampling=SamplingConfig(temperature=0.0),
        )
        engine = SpeculativeEngine(config, self.drafters, self.target, arms=[ArmSpec(**ARMS[arm])])
        self.compiled = engine.compiled

        def run(ids, heat, most, seed):
            prompt = torch.tensor([ids], device=self.device)
            begun = perf_counter()
            made = engine.generate(prompt, most)
            tokens = tuple(made.output_ids[0, : made.n_tokens_generated].tolist())
            ended = perf_counter()
            later = made.arm_steps[1:]  # the first step reads the prompt
            decode = sum(step.seconds for step in later)
            counted = sum(step.emitted for step in later)
            return Run(tokens, counted, ended - decode, decode, ended - begun)

        return run


def warmed(decoder, prompts, most):
    """The same decoder once it has met all prompts, the longest first, which needs most room.

    Twice, since a CUDA graph is recorded when its shape is met for the second time.
    """
    for ids in 2 * sorted(prompts, key=len, reverse=True):
        decoder(ids, 0.0, most, 0)
    return decoder
