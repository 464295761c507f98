"""Averaging over different vocabularies: by definition without a cache, every way of sampling
enumerated, and what each tokenizer calls a piece of text."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.together import union_decoding, union_reading
from ensemble_lab.tokens.together.union_decoding import decode_union
from ensemble_lab.tokens.together.vocabulary_union import END, VocabularyUnion, token_bytes
from tests.support.tiny_llama import make_tokenizer
from tests.support.tokenizers import Pieces, metaspace, model_of
from tests.support.toy_lm import every_way, mutant, network

OURS, THEIRS = ("a", "b", "ab", "c", "ba", "d"), ("bb", "c", "a", "e", "b", "ca", "d")
PROMPTS = ("a", "bac", "ddca")


def toys(**settings):
    return model_of(Pieces(*OURS), 0, **settings), model_of(Pieces(*THEIRS), 1, **settings)


def next_pieces(model, ids):
    """Piece to probability by the whole softmax; "" is the end."""
    with torch.inference_mode():
        p = model.model(torch.tensor([ids])).logits[0, -1].softmax(-1).tolist()
    found = {}
    for token, share in enumerate(p):
        piece = "" if token in model.ends else model.tokenizer.pieces[token]
        found[piece] = found.get(piece, 0) + share
    return found


def mean_of(models, ids, shares, top_k):
    """The common distribution by its definition, as a dictionary."""
    tables = [next_pieces(one, row) for one, row in zip(models, ids)]
    known = [set(table) - {""} for table in tables]
    kept = {
        piece
        for table in tables
        for piece in table
        if all(set(piece) <= own or piece in own for own in known)
    }
    tables = [{x: table[x] for x in table if x in kept} for table in tables]
    tables = [{x: y / sum(table.values()) for x, y in table.items()} for table in tables]
    if top_k is not None:
        likeliest = {x for t in tables for x in sorted(t, key=t.get, reverse=True)[:top_k]}
        made = []
        for one, table in zip(models, tables):
            found = {}
            for piece in likeliest:
                if piece in table:
                    found[piece] = table[piece]
                elif piece:
                    first = one.tokenizer(piece)["input_ids"][0]
                    found[piece] = table[one.tokenizer.pieces[first]]
            made.append({x: y / sum(found.values()) for x, y in found.items()})
        tables = made
    pieces = {piece for table in tables for piece in table}
    return {x: sum(w * t.get(x, 0) for w, t in zip(shares, tables)) for x in pieces}


def plainly(models, prompt, n, shares, top_k, gate=2.0):
    """The likeliest pieces, each with its probability."""
    ids, made = [one.tokenizer(prompt)["input_ids"] for one in models], []
    while len(made) < n and (not made or made[-1][0]):
        mean = mean_of(models, ids, (1, 0), None)
        if max(mean.values()) < gate:
            mean = mean_of(models, ids, shares, top_k)
        piece = max(mean, key=lambda x: (mean[x], -len(x)))
        made.append((piece, mean[piece]))
        for one, row in zip(models, ids):
            row += one.tokenizer(piece)["input_ids"]
    return made


def checked(models, n=12):
    """The worst difference from the definition, over prompts, weights and ways to average."""
    worst = 0.0
    for prompt in PROMPTS:
        for weights in ((1, 1), (3, 1), (0, 2)):
            shares = [x / sum(weights) for x in weights]
            for top_k in (None, 1, 2, 50):
                right = plainly(models, prompt, n, shares, top_k)
                made = decode_union(models, prompt, weights=weights, top_k=top_k,
                                    max_new_tokens=n)  # fmt: skip
                if [piece.decode() for piece in made.pieces] != [piece for piece, _ in right]:
                    return math.inf
                assert made.text == "".join(piece for piece, _ in right)
                for mine, (_, chance) in zip(made.probabilities, right):
                    worst = max(worst, abs(mine - chance))
    return worst


@pytest.mark.parametrize("ends", [None, 5])
def test_the_mean_by_its_definition(ends):
    assert checked(toys(eos_token_id=ends)) < 1e-12


@pytest.mark.parametrize("top_k", [None, 2])
def test_a_sure_first_model_writes_alone(top_k):
    models, seen = toys(), []
    for prompt in PROMPTS:
        for gate in (0, 0.4, 0.6, 1.1):
            way = {"top_k": top_k, "gate": gate, "max_new_tokens": 16}
            made = decode_union(models, prompt, **way)
            right = plainly(models, prompt, 16, (0.5, 0.5), top_k, gate)
            assert [piece.decode() for piece in made.pieces] == [piece for piece, _ in right]
            assert made.probabilities == pytest.approx([chance for _, chance in right], abs=1e-12)
            assert made.members[0].calls == 16
            seen.append(made.members[1].calls)
            if gate == 0:
                assert math.isnan(made.members[1].total_variation)
    assert seen[0::4] == [0] * 3 and seen[3::4] == [16] * 3
    assert any(0 < calls < 16 for calls in seen)


def test_of_equal_pieces_the_shortest_is_taken():
    """A piece that a model lacks has the probability of its first token: 'ab' that of 'a'."""
    words = Pieces(*OURS), Pieces("bb", "c", "a", "b", "ca", "d")  # each can write all
    models = [model_of(one, i) for i, one in enumerate(words)]
    for weights, model in (((1, 0), models[0]), ((0, 1), models[1])):
        ids = model.tokenizer("dda")["input_ids"]
        right = decode(model, ids, max_new_tokens=12)
        made = decode_union(models, "dda", weights=weights, top_k=2, max_new_tokens=12)
        assert [x.decode() for x in made.pieces] == [
            model.tokenizer.pieces[t] for t in right.tokens
        ]


def test_texts_longer_than_expected_are_read_from_a_larger_cache():
    letters, words = Pieces("a", "b"), Pieces("abbaabba", "ba", "a", "b")
    models = model_of(letters, 0), model_of(words, 3)
    for weights, top_k in (((0, 1), None), ((1, 1), 2)):
        right = plainly(models, "a", 9, [x / sum(weights) for x in weights], top_k)
        made = decode_union(models, "a", weights=weights, top_k=top_k, max_new_tokens=9)
        assert made.text == "".join(piece for piece, _ in right)
        assert made.members[0].tokens == len(made.text)
    longest = decode_union([model_of(letters, 0), Only("abbaabba", words)], "a",
                           weights=(0, 1), max_new_tokens=9)  # fmt: skip
    assert longest.text == "abbaabba" * 9 and longest.members[0].tokens == 72


class Only(LanguageModel):
    """A model that always writes the same token."""

    def __init__(self, piece, tokenizer):
        made = model_of(tokenizer, 3).model
        made.lm_head.weight.data[:] = 0
        made.lm_head.bias = torch.nn.Parameter(torch.zeros(len(tokenizer), dtype=torch.float64))
        made.lm_head.bias.data[tokenizer.pieces.index(piece)] = 50
        super().__init__(made, tokenizer, f"only {piece}")


def test_every_way_of_sampling_has_its_probability(monkeypatch):
    models = toys()
    for top_k in (None, 2):
        exact = {}
        ids = [one.tokenizer("ab")["input_ids"] for one in models]
        for x, first in mean_of(models, ids, (0.5, 0.5), top_k).items():
            then = [row + one.tokenizer(x)["input_ids"] for one, row in zip(models, ids)]
            for y, second in mean_of(models, then, (0.5, 0.5), top_k).items():
                exact[x, y] = first * second

        def play(rng, top_k=top_k):
            way = lambda p, _: torch.tensor([rng.choice(p.shape[-1], p[0].tolist())])  # noqa: E731
            monkeypatch.setattr(union_decoding, "sampled", way)
            made = decode_union(models, "ab", top_k=top_k, temperature=1.0, max_new_tokens=2)
            return tuple(piece.decode() for piece in made.pieces)

        found = {pieces: chance for chance, pieces in every_way(play)}
        assert sum(found.values()) == pytest.approx(1, abs=1e-12)
        assert found == pytest.approx({x: y for x, y in exact.items() if y > 0}, abs=1e-12)


@pytest.mark.parametrize(
    "name, old, new",
    [("among_likeliest", "q / q.sum()", "q"),
     ("among_likeliest", "q[place] = p[first]", "q[place] = p[place]"),
     ("decode_union", "b\"\".join(pieces[:-1])", "b''"),
     ("decode_union", "float(own[0].max()) >= gate", "float(own[0].max()) < gate"),
     ("decode_union", "zip(shares, given, strict=True)", "zip(shares[::-1], given, strict=True)")],
)  # fmt: skip
def test_planted_faults_are_seen(monkeypatch, name, old, new):
    wrong = mutant(getattr(union_decoding, name), old, new)
    monkeypatch.setattr(union_decoding, name, wrong)
    monkeypatch.setitem(globals(), "decode_union", union_decoding.decode_union)
    if old.startswith("b"):  # a SentencePiece tokenizer puts a space before what begins a text
        spell, seen = VocabularyUnion.spell, []
        listen = lambda *it: seen.append(it[3]) or spell(*it)  # noqa: E731
        monkeypatch.setattr(VocabularyUnion, "spell", listen)
        decode_union(toys(), "a", max_new_tokens=4)
        assert not any(seen)
    elif "gate" in old:
        made = decode_union(toys(), "a", gate=0, max_new_tokens=4)
        assert made.members[1].calls  # nobody asked for it
    else:
        assert checked(toys()) > 1e-6


# Identities


def bytes_of(model, made):
    known = token_bytes(model.tokenizer)
    return [known[token] for token in made.tokens if token not in model.ends]


@pytest.mark.parametrize("top_k", [None, 1, 10])
def test_the_same_model_twice_is_that_model(top_k):
    tiny, small = (lab.load(name, dtype="float64") for name in ("tiny", "tiny-draft"))
    for prompt in ("The sea was", "Write a short story about a lighthouse.\n"):
        right = decode(tiny, prompt, max_new_tokens=24)
        for models, weights in (([tiny, tiny], None), ([tiny, small], (1, 0)), ([tiny], None)):
            made = decode_union(models, prompt, weights=weights, top_k=top_k, max_new_tokens=24)
            assert [x for x in made.pieces if x != END] == bytes_of(tiny, right)
            assert made.text == right.text
            if len(set(models)) == 1:
                assert all(one.total_variation < 1e-12 for one in made.members) or top_k


def test_the_union_of_one_vocabulary_is_the_vocabulary():
    tiny = lab.load("tiny", dtype="float64")
    union = VocabularyUnion([tiny, tiny])
    known = token_bytes(tiny.tokenizer)
    assert union.shared == len(union) - 1 == len(set(known.values()))
    logits = torch.randn(3, tiny.model.config.vocab_size, dtype=torch.float64)
    p, own = logits.softmax(-1), union.distribution(0, logits)
    ids = [token for token in known if token not in tiny.ends]
    left = p[:, ids].sum(-1) + p[:, tiny.ends].sum(-1)
    for token in ids[::97]:
        place = union.place[known[token]]
        assert torch.allclose(own[:, place], p[:, token] / left, atol=1e-12)
    assert torch.allclose(own[:, -1], p[:, tiny.ends].sum(-1) / left, atol=1e-12)
    assert torch.allclose(own.sum(-1), torch.ones(3, dtype=torch.float64))


def test_tokens_of_the_same_bytes_are_added():
    twice = Pieces("a", "b", "c")
    twice.decode = lambda tokens, **_: "".join("aba"[t] for t in tokens)
    union = VocabularyUnion([model_of(twice, 0), model_of(Pieces("a", "b"), 1)])
    assert union.pieces == (b"a", b"b", END)
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    assert union.distribution(0, p.log()).tolist() == pytest.approx([0.7, 0.3, 0])


# What tokenizers call a piece


def test_a_space_a_byte_and_the_end_have_one_name():
    spaces, sentences = make_tokenizer(None), metaspace()
    models = model_of(spaces, 0, eos_token_id=spaces.eos_token_id), model_of(sentences, 1)
    union = VocabularyUnion(models)
    ours, theirs = token_bytes(spaces), token_bytes(sentences)
    for names, piece in ((("Ġthe", "▁the"), b" the"), (("Ġ", "▁"), b" "), (("e", "e"), b"e"),
                         (("Ã", "<0xC3>"), b"\xc3")):  # fmt: skip
        for tokenizer, known, name in zip((spaces, sentences), (ours, theirs), names):
            assert known[tokenizer.convert_tokens_to_ids(name)] == piece, name
        assert piece in union.place
    for tokenizer, known in ((spaces, ours), (sentences, theirs)):
        assert not set(tokenizer.all_special_ids) & set(known)
    logits = [torch.full((len(one.tokenizer),), -1e9, dtype=torch.float64) for one in models]
    for i, one in enumerate(models):  # the ends differ, and are one piece
        logits[i][one.ends] = 0
        assert float(union.distribution(i, logits[i])[-1]) == pytest.approx(1)


def test_the_letter_of_a_space_is_a_letter_in_sentencepiece():
    letters = metaspace("Ġ is a letter here, Ġ and Ġ\n")
    assert token_bytes(letters)[letters.convert_tokens_to_ids("Ġ")] == "Ġ".encode()


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("aehst .\n1é²ΩĠ▁😀"), max_size=9), st.data())
def test_any_piece_is_spelled_by_each_model_after_any_text(before, data):
    union = kinds_together()
    piece = data.draw(st.sampled_from(union.pieces[:-1]))
    for i, one in enumerate(union.models):
        known = token_bytes(one.tokenizer)
        tokens = union.spell(i, piece, before.encode())
        assert b"".join(known[token] for token in tokens) == piece


def kinds_together(made=[]):  # noqa: B006
    if not made:
        kinds = make_tokenizer(None), metaspace(), lab.load("tiny").tokenizer
        made.append(VocabularyUnion([model_of(one, i) for i, one in enumerate(kinds)]))
    return made[0]


def test_characters_in_parts_are_written_whole():
    spaces, sentences = make_tokenizer(None), metaspace()
    union = VocabularyUnion([model_of(spaces, 0), model_of(sentences, 1)])
    written = b""
    for byte in "é😀".encode():
        tokens = [union.spell(i, bytes([byte]), written) for i in (0, 1)]
        written += bytes([byte])
        assert all(len(row) == 1 for row in tokens)
    assert written.decode() == "é😀"


# What is refused


def test_what_is_refused():
    first, second = toys()
    with pytest.raises(ModelError, match="share 0 of their 6 and 6"):
        decode_union([model_of(Pieces(*"abcdef"), 0), model_of(Pieces(*"uvwxyz"), 1)], "a")
    with pytest.raises(ModelError, match="token ids, which mean something else"):
        decode_union([first, second], [1, 2])
    with pytest.raises(ModelError, match="has no tokenizer that lists its tokens"):
        decode_union([first, "tiny"], "a")
    with pytest.raises(ModelError, match="models is empty"):
        decode_union([], "a")
    for weights, message in (((1, -1), "not from 0 up"), ((0, 0), "sum to 0"),
                             ((1, 1, 1), "3 weights for 2 models")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            decode_union([first, second], "a", weights=weights)
    with pytest.raises(ValueError, match="top_k=0 leaves no piece"):
        decode_union([first, second], "a", top_k=0)
    broken = LanguageModel(network(3, 1, vocabulary=7), Pieces(*THEIRS), "the broken one")
    broken.model.lm_head.weight.data[2] = math.nan
    for models in ([first, broken], [broken, first]):
        with pytest.raises(ModelError, match="the broken one"):
            decode_union(models, "a")


def test_the_shortest_context_counts():
    first, _ = toys()
    short = model_of(Pieces(*THEIRS), 1, max_position_embeddings=8)
    made = decode_union([first, short], "abc", max_new_tokens=30)
    assert 0 < len(made.pieces) <= 5 and made.members[1].tokens <= 7
    with pytest.raises(ModelError, match="leaves nothing of the 8"):
        decode_union([first, short], "a" * 8)


def test_two_readings_of_a_prompt_are_said():
    plain = model_of(make_tokenizer(None), 0)
    chat = model_of(make_tokenizer("{% for m in messages %}{{ m.content }}{% endfor %}"), 1)
    with pytest.warns(UserWarning, match="has no chat template"):
        decode_union([plain, chat], "the model", max_new_tokens=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode_union([plain, model_of(make_tokenizer(None), 1)], "the model", max_new_tokens=2)
        decode_union([chat, chat], [{"role": "user", "content": "the"}], max_new_tokens=2)


def test_an_interrupted_text_is_kept(monkeypatch):
    models, read, count = toys(), union_reading.Reading.read, [0]

    def stopped(self):
        count[0] += 1
        if count[0] == 8:
            raise KeyboardInterrupt
        return read(self)

    whole = decode_union(models, "a", max_new_tokens=9)
    monkeypatch.setattr(union_reading.Reading, "read", stopped)
    made = decode_union(models, "a", max_new_tokens=9)
    assert made.pieces == whole.pieces[:3] and len(made.members) == 2
