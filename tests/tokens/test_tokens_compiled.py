"""The compiled mode: the same tokens as eager, and few compilations."""

import gc
import weakref
from functools import partial
from itertools import zip_longest

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.decode import decode, stream
from ensemble_lab.tokens.drafts.combined import TurnsDraft
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.reading import compiled
from tests.support.compiling import BACKENDS, needs_compiler
from tests.support.toy_lm import language_model, network, toy_head

pytestmark = pytest.mark.slow  # even traced without C++
RAGGED = [[1, 2, 3, 4, 1, 2], [5], [2, 3, 2, 3, 2, 3, 2, 3, 2]]
DRAFTS = (None, "lookup", "model", "early-exit:1", "head", "turns")
END = 7


def toy(seed=0, layers=3, **settings):
    settings = {"eos_token_id": END, "max_position_embeddings": 48} | settings
    return language_model(network(seed, layers, 12, **settings))


@pytest.fixture
def count(monkeypatch):
    """Compiles by tracing alone, and counts how often."""
    counter = CompileCounterWithBackend("eager")
    monkeypatch.setattr(compiled, "BACKEND", counter)
    return counter


class Replay:
    """A CUDA graph without CUDA: reads from the same tensors again, and writes to the same ones."""

    def __init__(self, again):
        self.again, self.out = again, again()

    def replay(self):
        for name, there in self.out.items():
            if isinstance(there, torch.Tensor):
                there.copy_(self.again()[name])


@pytest.fixture
def fixed(monkeypatch):
    """The shapes that a GPU gets, and its way through the module but for the capture."""

    def captured(read, name, at, states):
        kept = at.start.clone(), states.clone()
        graph = Replay(partial(read, at=at._replace(start=kept[0]), **{name: kept[1]}))
        return graph, kept, graph.out

    monkeypatch.setattr(compiled, "is_fixed", lambda device: True)
    monkeypatch.setattr(compiled, "captured", captured)


def draft_of(name):
    head = toy_head(3, toy().model.config, range(0, 12, 2))
    return {
        "model": toy(9, 1, hidden=8),
        "head": head,
        "turns": TurnsDraft(LookupDraft(), head, sure=range(2, 6)),
    }.get(name, name)


def by_generate(model, prompt, most):
    tokens = torch.tensor([prompt])
    settings = {"max_new_tokens": most, "do_sample": False, "pad_token_id": 0}
    made = model.generate(tokens, attention_mask=torch.ones_like(tokens), **settings)
    return tuple(made[0, len(prompt) :].tolist())


def check_greedy(target, draft, gamma):
    made = decode(target, RAGGED, draft, gamma=gamma, max_new_tokens=20, compiled=True)
    for prompt, one in zip(RAGGED, made):
        assert one.tokens == by_generate(target.model, prompt, 20)


@pytest.mark.parametrize("draft", DRAFTS)
def test_compiled_greedy_is_generate(count, draft):
    target = toy(attn_implementation="eager" if draft == "lookup" else "sdpa")
    for gamma in (1, 2, 5, None) if draft else (None,):
        check_greedy(target, draft_of(draft), gamma)


@pytest.mark.parametrize("draft", DRAFTS)
def test_so_it_is_with_a_gpus_shapes(count, fixed, draft):
    target = toy()
    for gamma in (1, 5) if draft else (None,):
        check_greedy(target, draft_of(draft), gamma)


@pytest.mark.nightly
@needs_compiler
def test_and_through_the_compiler_itself():
    check_greedy(toy(), "lookup", 3)


@pytest.mark.parametrize("draft", DRAFTS)
def test_samples_are_those_of_eager(count, draft):
    target, draft = toy(), draft_of(draft)
    rule = {"temperature": 1.0, "top_k": 6, "seed": 4, "max_new_tokens": 20}
    rule |= {"gamma": 3} if draft else {}
    runs = [decode(target, RAGGED, draft, compiled=c, **rule) for c in (False, True)]
    eager, ours = ([one.tokens for one in made] for made in runs)
    assert ours == eager


def test_one_compilation_serves_all_lengths(count):
    target = toy(eos_token_id=None)
    for gamma in (2, 1, 4, 7, None):
        decode(target, RAGGED, "lookup", gamma=gamma, max_new_tokens=25, compiled=True)
    assert count.frame_count == 1
    decode(target, RAGGED[:2], "lookup", max_new_tokens=12, compiled=True)  # another capacity
    assert count.frame_count == 1
    for prompt in RAGGED:
        decode(target, prompt, "lookup", max_new_tokens=20, compiled=True)
    assert count.frame_count == 2  # one row is a kind of its own


def test_streams_of_one_model_do_not_disturb_one_another(count):
    """One row and several are compiled apart, and rounds run without checks which it was."""
    target = toy(8)
    batches = [RAGGED[:1], RAGGED, RAGGED[1:]]
    streams = [stream(target, b, "lookup", max_new_tokens=20, compiled=True) for b in batches]
    for _ in zip_longest(*streams):
        pass
    for batch, one in zip(batches, streams):
        made = [by_generate(target.model, prompt, 20) for prompt in batch]
        assert [g.tokens for g in one.generations] == made


def test_a_draft_model_is_compiled_by_itself(count):
    target, draft = toy(), draft_of("model")
    for gamma in (3, 5, None):
        decode(target, RAGGED[0], draft, gamma=gamma, max_new_tokens=20, compiled=True)
    assert count.frame_count == 2
    assert not {target.model, draft.model} - set(compiled._twins)


@pytest.mark.parametrize("prompts", [RAGGED, [[5], [6]], [[5]], [[5, 6]]])
def test_nothing_is_compiled_while_rounds_are_timed(count, prompts):
    """An adaptive length would take seconds of compiling for the cost of a verification."""
    target = toy(eos_token_id=None)
    decoding = stream(target, prompts, draft_of("model"), max_new_tokens=20, compiled=True)
    before = count.frame_count
    assert before == 2 and sum(1 for _ in decoding) > 1 and count.frame_count == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_early_exit_in_bfloat16_is_compiled_too(backend, monkeypatch):
    """Compiled and eager layers round otherwise; what the parts are held against must not."""
    monkeypatch.setattr(compiled, "BACKEND", backend)
    target = toy(3, vocab_size=400, hidden=64, spread=0.3)
    target.model.bfloat16()
    one = decode(target, RAGGED[0], "early-exit:1", gamma=2, max_new_tokens=8, compiled=True)
    assert one.tokens


def test_a_gpus_shapes_are_few(fixed):
    assert {compiled.width(k, True) for k in range(1, 12)} == {2, 4, 8, 16}
    assert [compiled.width(k, True) for k in (33, 64, 65)] == [64, 64, 65]
    assert [compiled.width(k, False) for k in (1, 2, 3)] == [2, 2, 3]


def test_the_eager_model_stays_eager_and_may_be_let_go(count):
    target = toy(5)
    decode(target, RAGGED, max_new_tokens=4, compiled=True)
    assert not any("forward" in vars(layer) for layer in target.model.model.layers)
    gone = weakref.ref(target.model)
    del target
    gc.collect()
    assert gone() is None


def test_a_models_other_weights_are_seen(count):
    """The twin has no weights of its own."""
    target = toy(6)
    decode(target, RAGGED, max_new_tokens=4, compiled=True)
    with torch.no_grad():
        for weight in target.model.parameters():
            weight.mul_(-0.5)
    check_greedy(target, "lookup", 2)


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch):
    import torch._inductor.config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    # By torch's own patch: pytest's leaves the setting deleted behind it.
    nowhere = inductor.patch({"cpp.cxx": ("/nowhere/g++",)})
    message = r"no C\+\+ compiler: install g\+\+, or leave out compiled"
    with nowhere, pytest.raises(ModelError, match=message):
        decode(toy(7, layers=1, hidden=20), RAGGED, max_new_tokens=4, compiled=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="waits of the host for a GPU")
@pytest.mark.parametrize("rule", [{}, {"temperature": 1.0}], ids=["greedy", "sampled"])
@pytest.mark.parametrize("draft", DRAFTS)
def test_a_round_waits_for_the_gpu_once(draft, rule):
    import warnings

    target = toy(eos_token_id=None)
    target.model.cuda()
    small = draft_of(draft)
    if draft == "model":
        small.model.cuda()
    settings = {"gamma": 3} if draft else {}
    rounds = iter(
        stream(target, RAGGED, small, max_new_tokens=20, compiled=True, **settings, **rule)
    )
    next(rounds)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            next(rounds)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sum("synchroniz" in str(one.message) for one in told) == 1
