"""A draft that learns from its target: what it learns from, what it becomes, what is refused."""

import copy
import itertools
import math
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.plain import one_round
from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.training.distillation import texts
from ensemble_lab.training.distillation.language import distil
from ensemble_lab.training.distillation.pairs import expected_acceptance, overlap
from ensemble_lab.training.distillation.student import DIVERGENCES, Lesson, drawn, rate
from ensemble_lab.training.distillation.texts import Batch, write
from tests.support.tiny_llama import make_tokenizer
from tests.support.toy_lm import (
    NO_WORDS,
    VOCABULARY,
    counted,
    every_way,
    exact_distribution,
    mutant,
    network,
    p_value,
    toy,
)

RAGGED = [[4], [1, 2, 3], [5, 0, 0, 2, 1, 3, 4]]
ANSWERS = [[1, 0, 4, 4], [0, 5], [2, 2, 1]]
QUICK = {"progress": False, "seed": 0, "max_new_tokens": 6, "batch_size": 4}
PROMPTS = ["Write a poem about rain.\n", "Count to five.\n", "Tell me about cats and dogs.\n"]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pair():
    return lab.load("tiny", "cpu", "float32"), lab.load("tiny-draft", "cpu", "float32")


def student(seed=1, **settings):
    return LanguageModel(network(seed, 1, **settings), NO_WORDS, "a student")


def with_words(seed, rows, **settings):
    """A network that has a tokenizer, and so many rows in its table."""
    tokenizer = make_tokenizer(None)
    made = network(seed, 1, vocabulary=rows, **settings)
    return LanguageModel(made, tokenizer, f"a model of {rows}")


def weights_of(model):
    return [weight.detach().clone() for weight in model.model.parameters()]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# What acceptance is.


def test_expected_acceptance_is_exact_on_a_toy_pair():
    """Every way that a round of one drafted token can go, each with its probability."""
    target, draft = toy(0), student()

    def distribution(model):
        def of(tokens):
            with torch.inference_mode():
                return model.model(torch.tensor([tokens])).logits[0].softmax(-1).numpy()

        return of

    for prompt in RAGGED:
        play = partial(one_round, distribution(target), distribution(draft), prompt, 1)
        exact = sum(chance * accepted for chance, (_, accepted, _) in every_way(play))
        found = expected_acceptance(target, draft, [prompt], [[2]])
        assert found == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("gamma", [1, 4])
def test_decoding_realises_what_is_expected(pair, gamma):
    """Accepted tokens less their expectation, over tokens that were examined: 99 % lie within."""
    target, draft = pair
    prompts = [f"Write about {what}.\n" for what in ("rain", "cats", "gardens", "the sea")] * 3
    made = lab.decode(
        target, prompts, draft, gamma=gamma, temperature=1.0, seed=3, max_new_tokens=32
    )
    rows = texts.prompts_of(target, prompts)
    accepted, expected, variance = 0, 0.0, 0.0
    for prompt, one in zip(rows, made, strict=True):
        batch = Batch.of([prompt], [list(one.tokens)], target.device)
        with torch.inference_mode():
            each = overlap(batch.logits(target.model), batch.logits(draft.model), 1.0).double()
        at = 0
        for r in one.rounds:
            # A token behind the end of the text was examined in a text that was cut.
            examined = min(r.accepted + 1, len(r.proposed), len(each) - at)
            chance = each[at : at + examined]
            accepted += min(r.accepted, examined)
            expected += chance.sum().item()
            variance += (chance * (1 - chance)).sum().item()
            at += r.accepted + 1
    assert variance > 50
    assert abs(accepted - expected) < 2.576 * math.sqrt(variance)


def test_texts_of_different_lengths_count_by_their_tokens():
    target, draft = toy(0), student()
    each = [expected_acceptance(target, draft, [p], [a]) for p, a in zip(RAGGED, ANSWERS)]
    together = expected_acceptance(target, draft, RAGGED * 7, ANSWERS * 7)
    lengths = [len(answer) for answer in ANSWERS]
    assert together == pytest.approx(np.average(each, weights=lengths), abs=1e-9)


def test_at_temperature_zero_it_is_the_share_of_equal_choices():
    target, draft = toy(0), student()
    equal = []
    for prompt, answer in zip(RAGGED, ANSWERS):
        tokens = torch.tensor([prompt + answer])
        a, b = (one.model(tokens).logits[0, len(prompt) - 1 : -1] for one in (target, draft))
        equal += (a.argmax(-1) == b.argmax(-1)).tolist()
    found = expected_acceptance(target, draft, RAGGED, ANSWERS, temperature=0)
    assert found == pytest.approx(np.mean(equal))
    near = expected_acceptance(target, draft, RAGGED, ANSWERS, temperature=1e-6)
    assert near == pytest.approx(found)


def test_a_model_accepts_itself():
    assert expected_acceptance(toy(0), toy(0), RAGGED, ANSWERS) == pytest.approx(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_both_have_the_temperature(temperature):
    target, draft = toy(0), student()
    p, q = (one.model(torch.tensor([[1, 2, 3]])).logits[0].detach() for one in (target, draft))
    shared = torch.minimum((p / temperature).softmax(-1), (q / temperature).softmax(-1)).sum(-1)
    torch.testing.assert_close(overlap(p, q, temperature), shared)


@pytest.mark.parametrize(("ours", "theirs"), [(6, 9), (9, 6)])
def test_tables_of_other_sizes_are_read_as_decoding_reads_them(ours, theirs):
    rng = torch.Generator().manual_seed(0)
    p, q = (torch.randn(4, n, generator=rng).double() for n in (ours, theirs))
    proposed = torch.zeros(4, ours).double()
    few = min(ours, theirs)
    proposed[:, :few] = q[:, :few].softmax(-1)
    shared = torch.minimum(p.softmax(-1), proposed).sum(-1)
    torch.testing.assert_close(overlap(p, q, 1.0), shared)


# What is read, and what is written.


def test_prompts_and_filling_are_not_learned():
    batch = Batch.of(RAGGED, ANSWERS, torch.device("cpu"))
    assert batch.targets.tolist() == [*itertools.chain(*ANSWERS)]
    assert batch.mask.sum(1).tolist() == [len(p) + len(a) for p, a in zip(RAGGED, ANSWERS)]
    for i, (prompt, answer) in enumerate(zip(RAGGED, ANSWERS)):
        learned = batch.learned[i].nonzero()[:, 0].tolist()
        assert learned == list(range(len(prompt) - 1, len(prompt) + len(answer) - 1))


def test_a_text_reads_the_same_alone_and_in_a_batch():
    model = toy(0).model
    together = Batch.of(RAGGED, ANSWERS, torch.device("cpu")).logits(model)
    alone = [Batch.of([p], [a], torch.device("cpu")).logits(model) for p, a in zip(RAGGED, ANSWERS)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_the_end_is_learned_although_it_is_the_filling():
    """Where both are the same token, a peer took the end of every text for filling."""
    model = toy(0, eos_token_id=3)
    made = write(model, model.model, RAGGED * 40, 8, 1.0, seed=0)
    ended = [row for row in made if row[-1] == 3]
    assert ended and all(3 not in row[:-1] for row in made)
    assert all(len(row) == 8 for row in made if row[-1] != 3)
    batch = Batch.of((RAGGED * 40)[: len(made)], made, torch.device("cpu"))
    assert batch.targets.tolist().count(3) == len(ended)


def test_what_is_written_follows_the_models_distribution():
    """Prompts of different lengths are filled up on the left: a fault there would show here."""
    model, n = toy(0), 1500
    for heat in (1.0, 0.7):
        made = torch.tensor(write(model, model.model, RAGGED * n, 2, heat, seed=5))
        found = [
            (
                counted(made[i :: len(RAGGED)]),
                exact_distribution(model, Sampling(heat), RAGGED[i], 2),
            )
            for i in range(len(RAGGED))
        ]
        assert p_value(*found) > 0.0005


def test_what_is_written_at_temperature_zero_is_the_likeliest_text():
    model = toy(0)
    greedy = lab.decode(model, RAGGED, max_new_tokens=5)
    made = write(model, model.model, RAGGED, 5, 0.0, seed=0)
    assert made == [list(one.tokens) for one in greedy]


def test_answers_as_texts_and_as_tokens(pair):
    target, _ = pair
    ids = target.tokenizer("\nA cat.", add_special_tokens=False)["input_ids"]
    made = target.generate(PROMPTS[0], max_new_tokens=4)
    given = texts.answers_of(target, ["\nA cat.", ids, made], 3)
    assert given == [[*ids, *target.ends], ids, list(made.tokens)]


# What is learned.


@pytest.mark.parametrize("divergence", [*DIVERGENCES, partial(lab.generalised_jsd, beta=0.2)])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_every_divergence_raises_acceptance(divergence, share):
    if divergence == "cross_entropy" and share:
        return  # refused, see below
    target, draft = toy(0), student()
    before = weights_of(draft), weights_of(target)
    how = {"divergence": divergence, "student_share": share, "learning_rate": 0.01}
    made = distil(target, draft, RAGGED * 10, steps=60, **how, **QUICK | {"batch_size": 10})
    asked = {"seed": 9, "max_new_tokens": 6}
    judged = [expected_acceptance(target, x, RAGGED * 5, **asked) for x in (draft, made.draft)]
    assert judged[1] > judged[0] + 0.05
    assert made.losses[-10:].mean() < made.losses[:10].mean()
    assert made.losses.shape == made.acceptances.shape == made.own.shape == (60,)
    assert made.own.all() if share else not made.own.any()
    assert same(before[0], weights_of(draft)) and same(before[1], weights_of(target))
    assert all(p.grad is None for one in (target, draft) for p in one.model.parameters())


def test_a_loss_is_the_mean_over_tokens_of_the_heated_divergence():
    """In a peer the temperature only chose texts; and a mean of means weighs short texts more."""
    target, draft = toy(0), student()
    lesson = Lesson(target, draft, "reverse_kl", 0.5)
    batch = Batch.of(RAGGED, ANSWERS, torch.device("cpu"))
    loss, accepted = lesson.read(draft.model, batch)
    each, shared = [], []
    for prompt, answer in zip(RAGGED, ANSWERS):
        tokens, places = torch.tensor([prompt + answer]), slice(len(prompt) - 1, -1)
        p, q = (one.model(tokens).logits[0, places] for one in (target, draft))
        p, q = (p / 0.5).softmax(-1), (q / 0.5).softmax(-1)
        each += (q * (q / p).log()).sum(-1).tolist()
        shared += torch.minimum(p, q).sum(-1).tolist()
    assert loss.item() == pytest.approx(np.mean(each))
    assert accepted == pytest.approx(np.mean(shared))


def test_cross_entropy_on_sampled_text_is_forward_kl_in_expectation():
    """E -log q(x) over x from p is KL(p || q) + H(p): sequence level and word level meet."""
    target, draft = toy(0), student()
    batch = Batch.of([[1, 2]] * VOCABULARY, [[x] for x in range(VOCABULARY)], torch.device("cpu"))
    p = batch.logits(target.model)[0].softmax(-1).detach()
    hard, soft = (Lesson(target, draft, way, 1.0) for way in ("cross_entropy", "forward_kl"))
    logits = batch.logits(target.model).detach(), batch.logits(draft.model).detach()
    surprise = (p * hard.losses(*logits, batch.targets)).sum()
    kl = soft.losses(*logits, batch.targets)[0]
    torch.testing.assert_close(surprise, kl - (p * p.log()).sum())


def test_one_seed_one_result_and_the_share_is_of_batches():
    how = QUICK | {"steps": 40, "student_share": 0.3, "divergence": "jsd"}
    first, again = (distil(toy(0), student(), RAGGED, **how) for _ in range(2))
    other = distil(toy(0), student(), RAGGED, **how | {"seed": 1})
    assert same(weights_of(first.draft), weights_of(again.draft))
    assert not same(weights_of(first.draft), weights_of(other.draft))
    assert np.array_equal(first.losses, again.losses)
    assert 3 <= first.own.sum() <= 21


def test_given_answers_are_what_is_learned():
    made = distil(
        toy(0), student(), RAGGED, ANSWERS, divergence="cross_entropy", steps=150,
        learning_rate=0.01, **QUICK,
    )  # fmt: skip
    likeliest = lab.decode(made.draft, RAGGED, max_new_tokens=2)
    assert [list(one.tokens) for one in likeliest] == [answer[:2] for answer in ANSWERS]


def test_only_who_is_asked_writes(monkeypatch):
    """A peer let its teacher write texts that nobody read; and each prompt is answered once."""
    writers, real = [], write

    def noted(model, network, prompts, *how):
        writers.append((model.weights, len(prompts)))
        return real(model, network, prompts, *how)

    for where in ("language", "texts"):
        monkeypatch.setattr(f"ensemble_lab.training.distillation.{where}.write", noted)
    for share, writer in ((0.0, "a toy"), (1.0, "a student")):
        writers.clear()
        distil(toy(0), student(), RAGGED, student_share=share, steps=5, **QUICK)
        assert {name for name, _ in writers} == {writer}
        assert sum(count for _, count in writers) == (15 if share else 3)
    writers.clear()
    distil(toy(0), student(), RAGGED, ANSWERS, steps=5, **QUICK)
    assert not writers


def test_dropout_is_off_and_the_target_has_no_gradient():
    draft = student(attention_dropout=0.5)
    target = LanguageModel(network(0, attention_dropout=0.5), NO_WORDS, "a toy")
    for model in (draft, target):
        model.model.train()  # as somebody's own training leaves it
    first, again = (distil(target, draft, RAGGED, ANSWERS, steps=3, **QUICK) for _ in range(2))
    plain = distil(toy(0), student(), RAGGED, ANSWERS, steps=3, **QUICK)
    assert same(weights_of(first.draft), weights_of(again.draft))
    assert same(weights_of(first.draft), weights_of(plain.draft))


def test_batches_take_every_prompt_once_in_a_pass():
    batches = drawn(10, 4, np.random.default_rng(0))
    for _ in range(3):
        passed = [next(batches) for _ in range(3)]
        assert sorted(itertools.chain(*passed)) == list(range(10))
        assert max(map(len, passed)) <= 4
    assert next(drawn(2, 8, np.random.default_rng(0))) in ([0, 1], [1, 0])


@pytest.mark.parametrize("steps", [1, 2, 10, 100])
def test_the_rate_rises_and_falls(steps):
    rates = [rate(i, steps) for i in range(steps)]
    assert all(0 < x <= 1 for x in rates) and max(rates) == 1
    assert rates[-1] <= max(0.5, 2 / steps) or steps == 1


def test_it_is_saved_loaded_and_drafts(pair, tmp_path):
    target, draft = pair
    made = distil(target, draft, PROMPTS, steps=2, **QUICK)
    made.save(tmp_path / "mine")
    loaded = lab.load(tmp_path / "mine", "cpu", "float32")
    assert (tmp_path / "mine/model.safetensors").exists()
    assert same(weights_of(made.draft), weights_of(loaded))
    with pytest.raises(ModelError, match="is a file"):
        made.save(tmp_path / "mine/config.json")
    how = {"max_new_tokens": 12, "gamma": 3}
    plain = lab.decode(target, PROMPTS, max_new_tokens=12)
    for one in (made.draft, loaded):
        assert [x.text for x in lab.decode(target, PROMPTS, one, **how)] == [x.text for x in plain]
    assert "distilled from tiny" in made.draft.weights
    further = distil(target, made.draft, PROMPTS, steps=1, **QUICK).draft
    assert further.weights == made.draft.weights


def test_half_precision_learns_in_float32(pair):
    """A step of 1e-4 is lost in the 8 bits of bfloat16; summed up in float32 it is not."""
    draft = lab.load("tiny-draft", "cpu", "bfloat16")
    how = QUICK | {"steps": 12, "learning_rate": 2e-4}
    made = distil(pair[0], draft, PROMPTS, **how)
    exact = distil(pair[0], pair[1], PROMPTS, **how)
    assert made.draft.dtype == torch.bfloat16 and draft.dtype == torch.bfloat16
    np.testing.assert_allclose(made.losses[0], exact.losses[0], rtol=0.01)
    np.testing.assert_allclose(made.losses[-3:], exact.losses[-3:], rtol=0.02)


@pytest.mark.parametrize(("ours", "theirs"), [(300, 304), (304, 300)])
def test_padded_tables_learn(ours, theirs):
    rows = len(make_tokenizer(None))
    target, draft = with_words(0, rows + ours - 300), with_words(1, rows + theirs - 300)
    made = distil(target, draft, ["the small model", "the big"], steps=30, learning_rate=0.01,
                  **QUICK)  # fmt: skip
    assert made.acceptances[-5:].mean() > made.acceptances[:5].mean()
    lab.decode(target, "the small", made.draft, max_new_tokens=4)


@pytest.mark.parametrize(("ours", "theirs"), [("abcdefgh", "abcdef"), ("abcdef", "abcdefgh")])
@pytest.mark.parametrize("divergence", ["forward_kl", "cross_entropy"])
def test_one_may_have_tokens_that_the_other_lacks(ours, theirs, divergence):
    target, draft = words(ours, 0), words(theirs, 1)
    prompts, share = [[1, len(ours) - 1, 2], [3]], 0.5 * (divergence != "cross_entropy")
    made = distil(target, draft, prompts, divergence=divergence, student_share=share, steps=20,
                  **QUICK)  # fmt: skip
    assert np.isfinite(made.losses).all()
    judged = {"max_new_tokens": 6, "seed": 0}
    assert 0 < expected_acceptance(target, made.draft, prompts, **judged) < 1


# Stopped, and refused.


class Stopping:
    """Forward KL that does something else at one of its calls."""

    def __init__(self, at, what):
        self.calls, self.at, self.what = 0, at, what

    def __call__(self, p, q):
        self.calls += 1
        made = lab.generalised_jsd(p, q, 0)
        return self.what(made) if self.calls == self.at else made


def interrupt(_):
    raise KeyboardInterrupt


def whole_batch_loss(draft):
    batch = Batch.of(RAGGED, ANSWERS, torch.device("cpu"))
    return Lesson(toy(0), draft, "forward_kl", 1.0).read(draft.model, batch)[0].item()


def test_an_interrupt_keeps_what_was_learned():
    stop = Stopping(5, interrupt)
    made = distil(toy(0), student(), RAGGED, ANSWERS, divergence=stop, steps=50, **QUICK)
    assert len(made.losses) == 4
    assert whole_batch_loss(made.draft) == pytest.approx(made.losses[-1], rel=1e-9)
    assert made.losses[-1] < made.losses[0]
    with pytest.raises(KeyboardInterrupt):
        distil(toy(0), student(), RAGGED, divergence=Stopping(1, interrupt), **QUICK)


@pytest.mark.parametrize("nan", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_the_weights_before(nan):
    broken = Stopping(4, lambda made: made * nan)
    with pytest.warns(UserWarning, match="NaN or infinite after 3 steps.*learning_rate below"):
        made = distil(toy(0), student(), RAGGED, ANSWERS, divergence=broken, steps=9, **QUICK)
    assert len(made.losses) == 3
    assert whole_batch_loss(made.draft) == pytest.approx(made.losses[-1], rel=1e-9)
    with pytest.raises(ValueError, match="at the first step"):
        distil(toy(0), student(), RAGGED, divergence=Stopping(1, lambda x: x * nan), **QUICK)


def test_a_last_step_that_breaks_the_weights_is_taken_back():
    how = QUICK | {"steps": 1, "learning_rate": 1e300}
    with pytest.warns(UserWarning, match="after 1 steps"):
        made = distil(toy(0), student(), RAGGED, ANSWERS, **how)
    assert whole_batch_loss(made.draft) == pytest.approx(made.losses[0], rel=1e-9)


@pytest.mark.parametrize("which", ["target", "draft"])
def test_a_model_that_is_broken_is_named(which):
    models = {"target": toy(0), "draft": student()}
    bad = copy.deepcopy(models[which].model)
    bad.lm_head.weight.data[0] = math.nan
    models[which] = LanguageModel(bad, NO_WORDS, f"the broken {which}")
    for call in (distil, expected_acceptance):
        how = QUICK if call is distil else {}
        with pytest.raises(ModelError, match=f"the broken {which}"):
            call(*models.values(), RAGGED, ANSWERS, **how)


def few_bits():
    model = student()
    model.model.few_bits = 8
    return model


class Words(SimpleNamespace):
    """A tokenizer that lists its tokens."""

    def __len__(self):
        return len(self.tokens)

    def __hash__(self):
        return id(self)

    def get_vocab(self):
        return {token: i for i, token in enumerate(self.tokens)}


def words(tokens, seed):
    tokenizer = Words(tokens=tokens, eos_token_id=None, chat_template=None)
    return LanguageModel(network(seed, 1, vocabulary=len(tokens)), tokenizer, "words")


REFUSED = {
    "no target": ((None, student()), {}, "no language model"),
    "a name": ((toy(0), "tiny-draft"), {}, "no language model"),
    "a served model": (
        (toy(0), lab.Endpoint("http://localhost:1/v1", "far")), {}, "answers on a server",
    ),
    "itself": ((toy(0), toy(0)), {}, "its own target"),
    "the same network": (
        (toy(0), LanguageModel(toy(0).model, NO_WORDS, "again")), {}, "its own target",
    ),
    "few bits": ((toy(0), few_bits()), {}, r"8 bits.*dtype='float32'"),
    "another size": ((toy(0), student(vocabulary=9)), {}, r"has 6 tokens, the draft's 9"),
    "other tokens of the same size": (
        (words(list("abcdef"), 0), words(list("abcdfe"), 1)), {},
        r"6 tokens, the draft's 6, and 'e' is id 5 there and id 4 here",
    ),
    "no prompts": ((toy(0), student()), {"prompts": []}, "empty"),
    "an empty prompt": ((toy(0), student()), {"prompts": [[1], []]}, "empty"),
    "an unknown token": ((toy(0), student()), {"prompts": [[9]]}, "token id 9"),
    "a long prompt": ((toy(0), student()), {"prompts": [[1], [2] * 60]}, r"prompt 2 has 60 tokens"),
    "a draft that sees less": (
        (toy(0), student(max_position_embeddings=8)), {}, r"8 that 'a student' can see",
    ),
    "long answers": ((toy(0), student()), {"answers": [[1] * 64, [2], [3]]}, "cut the answer"),
    "few answers": ((toy(0), student()), {"answers": [[1]]}, r"1 answers to 3 prompts"),
    "an empty answer": ((toy(0), student()), {"answers": [[1], [], [2]]}, "empty"),
    "temperature 0": ((toy(0), student()), {"temperature": 0}, "cross_entropy"),
    "a negative temperature": ((toy(0), student()), {"temperature": -1}, "temperature=-1"),
    "too large a share": ((toy(0), student()), {"student_share": 1.5}, r"1.5 is outside \[0, 1\]"),
    "a NaN share": ((toy(0), student()), {"student_share": math.nan}, "outside"),
    "its own words": (
        (toy(0), student()), {"student_share": 0.5, "divergence": "cross_entropy"}, "own words",
    ),
    "an unknown divergence": ((toy(0), student()), {"divergence": "forward"}, "forward_kl"),
    "a mean": (
        (toy(0), student()), {"divergence": lambda p, q: (p - q).mean()}, "one number a token",
    ),
    "no steps": ((toy(0), student()), {"steps": 0}, "steps=0"),
    "half a step": ((toy(0), student()), {"steps": 1.5}, "steps=1.5"),
    "no batch": ((toy(0), student()), {"batch_size": 0}, "batch_size=0"),
    "no rate": ((toy(0), student()), {"learning_rate": 0}, "learning_rate=0"),
    "no tokens": ((toy(0), student()), {"max_new_tokens": 0}, "max_new_tokens=0"),
    "a seed of text": ((toy(0), student()), {"seed": "a"}, "seed='a'"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what):
    models, how, words_of_it = REFUSED[what]
    how = {"prompts": RAGGED, **QUICK, "steps": 1, **how}
    with pytest.raises((ModelError, ValueError, KeyError), match=words_of_it) as error:
        distil(*models, **how)
    assert len(str(error.value)) <= 300


def test_nothing_is_said_where_nothing_is_wrong(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distil(toy(0), student(), RAGGED, steps=2, **QUICK)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "old", "new", "seen_by"),
    [
        ("until_end", "last + 1", "last", test_the_end_is_learned_although_it_is_the_filling),
        ("write", "[0] * (longest - len(prompt)) + [1] *", "[1] * (longest - len(prompt)) + [1] *",
         test_what_is_written_follows_the_models_distribution),
        ("write", "temperature, seed, place", "1.0, seed, place",
         test_what_is_written_follows_the_models_distribution),
    ],
)  # fmt: skip
def test_planted_faults_are_seen(monkeypatch, name, old, new, seen_by):
    fault = mutant(getattr(texts, name), old, new)
    monkeypatch.setattr(texts, name, fault)
    monkeypatch.setitem(globals(), name, fault)
    with pytest.raises((AssertionError, IndexError)):  # a text may be empty without its end
        seen_by()
