"""Drafts of another tokenizer: which tokens are common, what is read again, and the exact text."""

import copy
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts import retokenized
from ensemble_lab.tokens.drafts.intersection import IntersectionDraft
from ensemble_lab.tokens.drafts.strings import StringDraft, continuation
from ensemble_lab.tokens.drafts.vocabularies import GrowingText, common_tokens, text_of, token_texts
from ensemble_lab.tokens.plain import one_round
from ensemble_lab.tokens.reading.rows import Rows
from ensemble_lab.tokens.sampling import Sampling
from tests.support.tiny_llama import make_tokenizer
from tests.support.tokenizers import Pieces, metaspace, model_of
from tests.support.toy_lm import counted, drawn, every_way, exact_distribution, network, p_value

OURS, THEIRS = ("a", "b", "ab", "c", "ba", "d"), ("bb", "c", "a", "e", "b", "ca", "d")
COMMON = {"a", "b", "c", "d"}
PROMPTS = [[0, 1, 3], [2, 4, 5, 0, 0]]
TEXTS = ["The big model writes.\n", "both of them check it and then"]
ROWS = 4000
LEVEL = 1e-5


def toys(ours=OURS, theirs=THEIRS):
    return model_of(Pieces(*ours), 0), model_of(Pieces(*theirs), 1)


def byte_level():
    return make_tokenizer(None)


KINDS = {"byte-level": byte_level, "metaspace": metaspace, "tiny": lambda: tiny().tokenizer}


def tiny(name="tiny"):
    return lab.load(name, dtype="float64")


# Which tokens are common


def test_common_tokens_of_two_lists():
    target, draft = toys()
    common = common_tokens(target, draft)
    pairs = {(OURS[a], THEIRS[b]) for a, b in zip(common.target, common.draft)}
    assert pairs == {(text, text) for text in COMMON} and len(common) == 4
    assert str(common) == "4 tokens are in both (6 of the target, 7 of the draft)"


def test_a_space_is_a_space_by_any_name_and_a_letter_stays_a_letter():
    spaces, sentences = byte_level(), metaspace()
    common = common_tokens(model_of(spaces, 0), model_of(sentences, 1))
    names = {
        (spaces.convert_ids_to_tokens(a), sentences.convert_ids_to_tokens(b))
        for a, b in zip(common.target, common.draft)
    }
    assert ("Ġthe", "▁the") in names and ("Ġ", "▁") in names and ("e", "e") in names
    # The letter Ġ of a SentencePiece vocabulary is no space, and no byte-level token is it.
    letters = metaspace("Ġ is a letter here, Ġ and Ġ\n")
    assert "Ġ" in letters.get_vocab()
    common = common_tokens(model_of(spaces, 0), model_of(letters, 1))
    assert letters.convert_tokens_to_ids("Ġ") not in common.draft
    assert letters.convert_tokens_to_ids("▁") in common.draft


def test_special_tokens_bytes_and_parts_of_characters_are_not_common():
    tokenizer = byte_level()
    texts = token_texts(tokenizer)
    assert not set(tokenizer.all_special_ids) & set(texts.values())
    assert all("\ufffd" not in text for text in texts)
    sentences = metaspace()
    names = sentences.convert_ids_to_tokens(list(token_texts(sentences).values()))
    assert "e" in names and "<0x65>" not in names  # 'e' has a token of its own
    assert "<0x41>" in names and "<0xC3>" not in names  # 'A' has none; C3 is a part of a character
    same = common_tokens(model_of(tokenizer, 0), model_of(byte_level(), 1))
    assert same.target == same.draft and len(same) == len(texts)


def test_an_added_token_is_common_only_as_text():
    ours, theirs = byte_level(), byte_level()
    ours.add_tokens(["<think>"])
    theirs.add_special_tokens({"additional_special_tokens": ["<think>"]})
    common = common_tokens(model_of(ours, 0), model_of(theirs, 1))
    assert ours.convert_tokens_to_ids("<think>") not in common.target


def test_ids_beyond_a_table_are_not_common():
    target, draft = toys()
    short = LanguageModel(network(1, 1, vocabulary=2, hidden=8), draft.tokenizer, "short")
    assert common_tokens(target, short).draft == (1,)


# The growing text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("aehst  .\n'1é²ΩĠ▁_"), max_size=9), max_size=12))
@pytest.mark.parametrize("kind", KINDS)
def test_a_growing_text_has_the_tokens_of_the_whole_text(kind, parts):
    tokenizer = KINDS[kind]()
    growing, text = GrowingText(tokenizer), ""
    wanted = [t for t in tokenizer("a")["input_ids"] if t in tokenizer.all_special_ids]
    begins = wanted[:1] if tokenizer.bos_token_id in wanted else []
    for part in parts:
        text += part
        assert growing.encode(text) == begins + tokenizer(text, add_special_tokens=False).input_ids


def test_settled_words_are_not_encoded_again():
    tokenizer, seen = byte_level(), []
    growing = GrowingText(tokenizer)
    growing.tokenizer = lambda text, **how: seen.append(text) or tokenizer(text, **how)
    growing.encode("the small model writes and")
    growing.encode("the small model writes and checks")
    assert seen == ["the small model writes", " and", " and", " checks"]
    growing.encode("another text")
    assert "".join(seen[-2:]) == "another text"


def test_a_tokenizer_that_joins_words_is_given_the_whole_text():
    joins = Pieces(*"ofthe an", "and", " of the", " same", "m", "s")
    growing = GrowingText(joins)
    assert not growing.splits
    assert growing.encode("of the") == joins("of the")["input_ids"]
    assert growing.encode("of the an") == joins("of the an")["input_ids"]


# What the draft reads


class Compared(IntersectionDraft):
    """Compares each proposal's q with that of the draft's whole model, without any cache."""

    compared = 0

    def propose(self, rows, most):
        made = super().propose(rows, most)
        for i in range(len(rows)):
            self.compared += 1
            tokens = GrowingText(self.draft.tokenizer).encode(
                text_of(self.target.tokenizer, rows.texts[i])
            )
            for j in range(made.tokens.shape[1]):
                assert torch.allclose(made.probabilities[i, j], self.alone(tokens), atol=1e-9)
                where = self.common.target.index(int(made.tokens[i, j]))
                tokens = [*tokens, self.common.draft[where]]
        return made

    def alone(self, tokens):
        """q (V,) by its definition: the common part of the draft's softmax, normalised."""
        logits = self.draft.model(torch.tensor([tokens])).logits[0, -1, list(self.common.draft)]
        scores = self.sampling.distribution(logits)
        q = torch.zeros(self.target.model.config.vocab_size, dtype=torch.float64)
        q[list(self.common.target)] = scores
        return q


def pair_of_kinds(ours, theirs):
    return model_of(KINDS[ours](), 0), model_of(KINDS[theirs](), 1)


@pytest.mark.parametrize("rule", [{"temperature": 1.0}, {"temperature": 0.7, "top_p": 0.9}])
@pytest.mark.parametrize(
    "kinds", [("byte-level", "metaspace"), ("metaspace", "byte-level"), ("tiny", "byte-level")]
)
def test_q_is_the_drafts_own_after_every_round(kinds, rule):
    target, draft = pair_of_kinds(*kinds)
    mine = Compared(target, draft)
    decode(target, TEXTS, mine, gamma=3, max_new_tokens=30, seed=0, **rule)
    assert mine.compared > 20


def test_a_cache_of_tokens_that_have_changed_is_seen(monkeypatch):
    target, draft = pair_of_kinds("tiny", "byte-level")
    monkeypatch.setattr(retokenized, "same", lambda row, other: min(len(row) - 1, len(other)))
    with pytest.raises(AssertionError):
        decode(target, TEXTS, Compared(target, draft), gamma=3, max_new_tokens=30, temperature=1.0)


# The right text


DRAFTS = [IntersectionDraft, StringDraft]


@pytest.mark.parametrize("make", DRAFTS)
@pytest.mark.parametrize("gamma", [1, 4, None])
@pytest.mark.parametrize("kinds", [("byte-level", "metaspace"), ("metaspace", "tiny")])
def test_the_greedy_text_is_the_targets_own(kinds, gamma, make):
    target, draft = pair_of_kinds(*kinds)
    plain = decode(target, TEXTS, max_new_tokens=24)
    made = decode(target, TEXTS, make(target, draft), gamma=gamma, max_new_tokens=24)
    assert [one.tokens for one in made] == [one.tokens for one in plain]


@pytest.mark.parametrize("make", DRAFTS)
def test_a_draft_of_the_same_tokenizer_makes_the_rounds_of_a_plain_draft(make):
    target, draft = tiny(), tiny("tiny-draft")
    text = "Write a short story about a lighthouse.\n"
    plain = decode(target, text, draft, gamma=3, max_new_tokens=24)
    made = decode(target, text, make(target, draft), gamma=3, max_new_tokens=24)
    assert made.tokens == plain.tokens and plain.acceptance > 0.3
    if make is IntersectionDraft:
        assert [r.proposed for r in made.rounds] == [r.proposed for r in plain.rounds]
    else:  # the word at the end of a proposal may be left out
        for one in made.rounds:
            assert len(one.proposed) <= 3
        assert made.acceptance > 0.3


@pytest.mark.parametrize("make", DRAFTS)
@pytest.mark.parametrize("gamma", [1, 3])
def test_sampled_tokens_follow_the_targets_distribution(make, gamma):
    target, draft = toys()
    rule = {"temperature": 0.8}
    rows = [PROMPTS[i % 2] for i in range(ROWS)]
    made = drawn(
        target, rows, make(target, draft), 3, seed=1, gamma=gamma, max_new_tokens=8, **rule
    )
    for i, prompt in enumerate(PROMPTS):
        distribution = exact_distribution(target, Sampling(**rule), prompt, 3)
        assert p_value((counted(made[i::2]), distribution)) > LEVEL


def test_a_q_that_is_not_normalised_on_the_common_tokens_is_seen(monkeypatch):
    def spread(self, q):
        return made(self, q) * torch.tensor([1.0, 0.2, 1, 1, 1, 1], dtype=q.dtype)

    target, draft = toys()
    rule, made = {"temperature": 0.8}, IntersectionDraft.spread
    monkeypatch.setattr(IntersectionDraft, "spread", spread)
    rows = [PROMPTS[0]] * ROWS
    found = drawn(target, rows, IntersectionDraft(target, draft), 2, seed=1, gamma=1,
                  max_new_tokens=8, **rule)  # fmt: skip
    assert p_value(
        (counted(found), exact_distribution(target, Sampling(**rule), PROMPTS[0], 2))
    ) < (LEVEL)


def asked(make, target, draft, text, most, rule):
    """One proposal after a text, in a fresh state."""
    mine = make(target, draft)
    with torch.inference_mode():
        rows = Rows([text], len(text) + 8, torch.device("cpu"))
        mine.begin(rows, rule, torch.Generator().manual_seed(0))
        return mine.propose(rows, most)


def test_the_distribution_of_a_round_and_alpha_exactly():
    """Every draft and every verdict is enumerated: the first token follows p to 1e-12."""
    target, draft = toys()
    rule = Sampling(1.0)

    def p_of(tokens):
        with torch.inference_mode():
            logits = target.model(torch.tensor([tokens])).logits[0]
        return rule.distribution(logits).numpy()

    def q_of(tokens):
        q = asked(IntersectionDraft, target, draft, tokens, 1, rule).probabilities[0, 0].numpy()
        return [q]

    for prompt in PROMPTS:
        found, accepted = np.zeros(6), 0.0
        for chance, (drafted, n, follow) in every_way(
            lambda rng, prompt=prompt: one_round(p_of, q_of, prompt, 2, rng)
        ):
            found[drafted[0] if n else follow] += chance
            accepted += chance * (n > 0)
        p, [q] = p_of(prompt)[-1], q_of(prompt)
        common = common_tokens(target, draft).target
        assert np.allclose(found, p, atol=1e-12) and math.isclose(q.sum(), 1, abs_tol=1e-12)
        assert math.isclose(accepted, np.minimum(p, q)[list(common)].sum(), abs_tol=1e-12)
        assert not np.delete(q, common).any()


@torch.inference_mode()
def test_only_common_tokens_are_proposed_and_only_their_rows_are_multiplied():
    target, draft = toys()
    mine = IntersectionDraft(target, draft)
    made = decode(target, PROMPTS, mine, gamma=3, max_new_tokens=20)
    assert {OURS[t] for one in made for r in one.rounds for t in r.proposed} <= COMMON
    pruned = mine.reader.model
    assert pruned.lm_head.weight.shape == (4, 8) and draft.model.lm_head.weight.shape == (7, 8)
    tokens = torch.tensor([[1, 2, 3]])
    few, all_ = (m(tokens).logits for m in (pruned, draft.model))
    assert torch.allclose(few, all_[..., list(mine.common.draft)], atol=1e-12)


# Text instead of tokens


def test_text_is_encoded_where_it_stands():
    spaces, sentences = byte_level(), metaspace()
    for tokenizer in (spaces, sentences):
        new = continuation(tokenizer, "the small", " model and")
        assert text_of(tokenizer, [*tokenizer("the small", add_special_tokens=False).input_ids,
                                   *new]) == "the small model and"  # fmt: skip
    assert sentences.convert_ids_to_tokens(continuation(sentences, "the", " the")) == ["▁the"]
    # A token that would span the end of the text is not the one that follows.
    joined = Pieces("a", "b", "ab")
    assert continuation(joined, "a", "b") == [1]


def test_a_word_at_the_end_is_left_out():
    target, draft = model_of(Pieces("a", "b", " ", "ab"), 0), model_of(Pieces("a", "b", " "), 1)
    mine = StringDraft(target, draft)
    assert mine._encoded("ab", [0, 1], [2, 0, 1, 2, 0]) == [2, 3]  # " ab" of " ab a"
    assert mine._encoded("ab", [0, 1], [2, 0, 1]) == [2]  # "ab" may be a part of a word
    assert mine._encoded("ab", [0, 1], [0, 1, 0]) == [3]  # no word is whole: all but one token
    assert mine._encoded("ab", [0, 1], []) == []


# Bad input


def with_warnings(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        made = call()
    return made, [str(one.message) for one in found]


def test_decode_takes_the_intersection_and_says_so():
    target, draft = toys()
    plain = decode(target, PROMPTS, max_new_tokens=12)
    made, said = with_warnings(lambda: decode(target, PROMPTS, draft, gamma=2, max_new_tokens=12))
    assert [one.tokens for one in made] == [one.tokens for one in plain]
    [text] = said
    assert "4 tokens are in both" in text and "StringDraft" in text and len(text) <= 300


def test_equal_sizes_with_other_tokens_are_not_taken_for_the_same():
    target, draft = toys("abcdef", "fedcba")
    mine = Compared(target, draft)
    assert [OURS and "fedcba"[i] for i in mine.common.draft] == list("abcdef")
    decode(target, [[0, 1, 2]], mine, gamma=2, max_new_tokens=12, temperature=1.0, seed=0)
    assert mine.compared


def test_a_tree_of_another_tokenizer_is_refused():
    target, draft = toys()
    with pytest.raises(ModelError, match="a tree of a draft .*another tokenizer"):
        decode(target, PROMPTS, lab.DraftTree(draft, nodes=4), gamma=4, max_new_tokens=4)


def test_vocabularies_with_nothing_or_little_in_common_are_refused():
    target, draft = toys("abcdef", "uvwxyz")
    little = model_of(Pieces(*map(chr, range(200, 240)), "a"), 1)
    wide = model_of(Pieces(*"abcdefghijklmnop"), 0)
    for ours, theirs, count in ((target, draft, 0), (wide, little, 1)):
        for call in (lambda a, b: decode(a, [[0]], b), IntersectionDraft, common_tokens):
            with pytest.raises(ModelError, match=f"only {count} of their .*draft='lookup'") as said:
                call(ours, theirs)
            assert len(str(said.value)) <= 300
    # Text needs no common token.
    plain = decode(target, [[0, 1]], max_new_tokens=8)
    made = decode(target, [[0, 1]], StringDraft(target, draft), gamma=2, max_new_tokens=8)
    assert made[0].tokens == plain[0].tokens


@pytest.mark.parametrize("make", [*DRAFTS, common_tokens])
def test_models_without_a_tokenizer_are_refused(make):
    target, draft = toys()
    nameless = LanguageModel(draft.model, SimpleNamespace(eos_token_id=None), "nameless")
    for wrong in (nameless, draft.model, "tiny", None, 3):
        for pair in ((target, wrong), (wrong, draft)):
            with pytest.raises(ModelError, match="has no tokenizer") as said:
                make(*pair)
            assert len(str(said.value)) <= 300


@pytest.mark.parametrize("make", DRAFTS)
@pytest.mark.parametrize("rule", [{}, {"temperature": 1.0, "seed": 0}])
def test_a_draft_whose_logits_are_nan_changes_no_token(make, rule):
    target, draft = toys()
    broken = copy.deepcopy(draft.model)
    torch.nn.init.constant_(broken.lm_head.weight, float("nan"))
    broken = LanguageModel(broken, draft.tokenizer, "broken")
    made = decode(target, PROMPTS, make(target, broken), gamma=2, max_new_tokens=10, **rule)
    assert all(len(one.tokens) == 10 for one in made)
    if not rule:
        plain = decode(target, PROMPTS, max_new_tokens=10)
        assert [one.tokens for one in made] == [one.tokens for one in plain]


@pytest.mark.parametrize("make", DRAFTS)
def test_a_text_that_ends_within_a_character_is_not_continued(make):
    target, draft = model_of(byte_level(), 0), model_of(metaspace(), 1)
    text = target.tokenizer("é", add_special_tokens=False).input_ids
    assert len(text) == 2
    for tokens, most in ((text[:1], 0), (text, 2)):
        made = asked(make, target, draft, tokens, 2, Sampling())
        assert made.counts[0] <= most and (make is StringDraft or made.counts == [most])


@pytest.mark.parametrize("make", DRAFTS)
def test_a_draft_with_a_shorter_context_stops_proposing(make):
    target = model_of(byte_level(), 0)
    draft = model_of(metaspace(), 1, max_position_embeddings=16)
    plain = decode(target, TEXTS, max_new_tokens=24)
    made = decode(target, TEXTS, make(target, draft), gamma=3, max_new_tokens=24)
    assert [one.tokens for one in made] == [one.tokens for one in plain]
    assert not made[0].rounds[-2].proposed


@pytest.mark.parametrize("make", DRAFTS)
def test_prompts_of_ids_special_tokens_and_one_token(make):
    target, draft = model_of(byte_level(), 0), model_of(metaspace(), 1)
    begin = target.tokenizer.bos_token_id
    prompts = [[begin], [begin, *target.tokenizer("the model").input_ids, begin]]
    plain = decode(target, prompts, max_new_tokens=12)
    made = decode(target, prompts, make(target, draft), gamma=2, max_new_tokens=12)
    assert [one.tokens for one in made] == [one.tokens for one in plain]


def test_long_texts_make_the_drafts_cache_grow():
    target, draft = model_of(byte_level(), 0), model_of(metaspace(), 1)
    mine = Compared(target, draft)
    long = {"gamma": 2, "max_new_tokens": 60, "temperature": 1.0, "seed": 0}
    decode(target, ["a", "the big model"], mine, **long)
    assert mine.reader.reader.capacity > 30
