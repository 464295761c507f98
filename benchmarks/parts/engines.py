"""Other engines that decode on a CPU, each in a process of its own, called like any decoder.

A process of its own, because these are compiled for one kind of processor or another: an
instruction that is missing here, or a failed assertion, ends that process and no other record.
The engine's own clock leaves out the reading of the prompt and the first token, which ends it.
"""

import multiprocessing
from dataclasses import dataclass, field
from importlib import metadata
from time import perf_counter

from benchmarks.parts.decoders import Run
from benchmarks.parts.peers import PeerFailed
from ensemble_lab.core.errors import shown

CONTEXT = 2048  # tokens: the longest prompt with its answer has room
PATIENCE = 300  # seconds for one answer, or for the weights to be read


# In the other process


class LlamaCpp:
    """llama.cpp from the wheel xllamacpp, by its server without the network."""

    name, module, package = "llama.cpp", "xllamacpp", "xllamacpp"
    how = "pip install xllamacpp"

    def __init__(self, gguf, ends, threads, speculation=None, **sizes):
        import xllamacpp as llama

        settings = llama.CommonParams()
        settings.model.path = gguf
        settings.n_ctx, settings.n_parallel = CONTEXT, 1
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        settings.cache_prompt, settings.cache_ram_mib = False, 0  # each prompt is read in full
        settings.verbosity = -1
        if speculation:
            kinds = llama.common_speculative_type
            kind = getattr(kinds, f"COMMON_SPECULATIVE_TYPE_{speculation.upper()}")
            settings.speculative.types = [kind]
            for name, size in sizes.items():
                setattr(getattr(settings.speculative, speculation), name, size)
        self.server = llama.Server(settings)
        self.about = llama.get_system_info().strip()

    def decode(self, ids, most):
        answer = self.server.handle_completions(
            {
                "prompt": ids,
                "n_predict": most,
                "samplers": ["top_k"],
                "top_k": 1,
                "cache_prompt": False,
                "return_tokens": True,
                "verbose": True,  # it leaves them out otherwise
            }
        )
        if "__verbose" not in answer:
            raise PeerFailed(f"it answered {shown(str(answer))}")
        told = answer["__verbose"]
        return told["tokens"], len(told["tokens"]) - 1, told["timings"]["predicted_ms"] / 1000


class LlamaCppNative:
    """llama.cpp compiled for this processor, by the functions that llama-cpp-python binds."""

    name, module, package = "llama.cpp compiled here", "llama_cpp", "llama-cpp-python"
    how = 'CMAKE_ARGS="-DGGML_NATIVE=ON" pip install llama-cpp-python (compiles; a quarter hour)'

    def __init__(self, gguf, ends, threads):
        import llama_cpp

        self.c, self.ends = llama_cpp, ends
        self.llama = llama_cpp.Llama(
            gguf,
            n_ctx=CONTEXT,
            n_batch=CONTEXT,
            n_threads=threads,
            n_threads_batch=threads,
            verbose=False,
        )
        self.sampler = llama_cpp.llama_sampler_init_greedy()
        self.about = llama_cpp.llama_print_system_info().decode().strip()

    def decode(self, ids, most):
        context = self.llama.ctx
        self.c.llama_memory_clear(self.c.llama_get_memory(context), True)
        self._read(context, ids)
        tokens = [self.c.llama_sampler_sample(self.sampler, context, -1)]
        since = perf_counter()
        while len(tokens) < most and tokens[-1] not in self.ends:
            self._read(context, tokens[-1:])
            tokens.append(self.c.llama_sampler_sample(self.sampler, context, -1))
        return tokens, len(tokens) - 1, perf_counter() - since

    def _read(self, context, tokens):
        held = (self.c.llama_token * len(tokens))(*tokens)
        if code := self.c.llama_decode(context, self.c.llama_batch_get_one(held, len(tokens))):
            raise PeerFailed(f"llama_decode returned {code}")


class OpenVino:
    """OpenVINO GenAI on the same GGUF file, one prompt at a time."""

    name, module, package = "OpenVINO GenAI", "openvino_genai", "openvino-genai"
    how = "pip install openvino-genai"

    def __init__(self, gguf, ends, threads, **settings):
        import openvino_genai

        self.pipeline = openvino_genai.LLMPipeline(
            gguf, "CPU", INFERENCE_NUM_THREADS=threads, **settings
        )
        self.config = openvino_genai.GenerationConfig()
        self.config.do_sample, self.config.apply_chat_template = False, False
        self.config.stop_token_ids = set(ends)
        self.about = f"openvino {metadata.version('openvino')}"

    def decode(self, ids, most):
        import numpy as np
        import openvino
        import openvino_genai

        self.config.max_new_tokens = most
        row = np.array([ids], dtype=np.int64)
        tensors = openvino.Tensor(row), openvino.Tensor(np.ones_like(row))
        answer = self.pipeline.generate(openvino_genai.TokenizedInputs(*tensors), self.config)
        tokens, after_first = list(answer.tokens[0]), len(answer.tokens[0]) - 1
        mean_ms = answer.perf_metrics.get_tpot().mean if after_first else 0.0
        return tokens, after_first, after_first * mean_ms / 1000


class Economize:
    """Speculative decoding in PyTorch by economize: the same weights in the same precision."""

    name, module, package = "economize", "economize", "economize"
    how = "pip install --no-deps economize"

    def __init__(self, folder, ends, threads, cycle=4, confidence=None, draft=None, **lookup):
        import economize
        import torch
        from economize.techniques.draft_model import DraftModelConfig
        from economize.techniques.lookup import LookupConfig
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
        by = DraftModelConfig(model=draft) if draft else LookupConfig(**lookup)
        how = economize.DecodeConfig(cycle_length=cycle, min_confidence=confidence)
        self.model = economize.apply(model, by, decoding=how)
        self.ends, self.about = frozenset(ends), str(model.dtype).removeprefix("torch.")

    def decode(self, ids, most):
        """One prompt, or several as a list of lists: then the tokens of all, row after row."""
        import torch

        rows = [torch.tensor(row) for row in (ids if isinstance(ids[0], list) else [ids])]
        clocks = [Ends(self.ends) for _ in rows]
        found = self.model.decode_batch(rows, most, stops=clocks)
        ended = perf_counter()
        tokens = [token for row in found for token in row.tokens.tolist()]
        return tokens, len(tokens) - len(rows), ended - max(clock.since for clock in clocks)


@dataclass
class Ends:
    """A condition to stop at, asked after each token, that notes when it was first asked."""

    ends: frozenset
    since: float | None = None

    def __call__(self, tokens):
        if self.since is None:
            self.since = perf_counter()
        return int(tokens[-1]) in self.ends


def serve(pipe, build, arguments):
    """Build an engine and answer over `pipe` until `None` is asked; errors go there too."""
    try:
        engine = build(**arguments)
        pipe.send(engine.about)
        while (asked := pipe.recv()) is not None:
            pipe.send(engine.decode(*asked))
    except Exception as error:
        pipe.send(PeerFailed(f"{type(error).__name__}: {error}"))


# In this process


@dataclass
class Engine:
    """An engine of the classes above, at some settings; a context manager that ends its process.

    Called as `ours` and `theirs` are, with temperature 0: it decodes greedily.
    """

    build: type
    arguments: dict
    about: str = field(init=False)

    def __enter__(self):
        spawned = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawned.Pipe()
        given = (theirs, self.build, self.arguments)
        self._process = spawned.Process(target=serve, args=given, daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.about = self._answer()
        except PeerFailed:
            self._end()
            raise
        return self

    def __exit__(self, *_):
        if self._process.is_alive():
            self._pipe.send(None)
            self._process.join(5)
        self._end()

    def __call__(self, ids, heat, most, seed):
        if heat:
            raise ValueError(f"{self.build.__name__} is asked for temperature {heat}; it takes 0")
        begun = perf_counter()
        self._pipe.send((ids, most))
        tokens, counted, decode = self._answer()
        ended = perf_counter()
        return Run(tuple(tokens), counted, ended - decode, decode, ended - begun)

    def _answer(self):
        name = self.build.__name__
        try:
            if not self._pipe.poll(PATIENCE):
                raise PeerFailed(f"{name} did not answer within {PATIENCE} s")
            answer = self._pipe.recv()
        except EOFError:
            self._process.join(5)
            code = self._process.exitcode
            raise PeerFailed(f"the process of {name} ended with exit code {code}") from None
        if isinstance(answer, PeerFailed):
            raise PeerFailed(f"{name}: {answer}")
        return answer

    def _end(self):
        self._process.kill()
        self._process.join()
        self._pipe.close()
