"""States in 8 bits: exact where steps fit, close elsewhere, and measured on a model."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import ensemble_lab as lab
from ensemble_lab.systems.splitting.cuts import round_rows
from ensemble_lab.systems.splitting.wire import (
    DTYPES,
    Header,
    WireError,
    bytes_to_states,
    joined,
    states_to_bytes,
)

TEXTS = ["The sea is a reflection of the sky. " * 4, "Once upon a time there was a small model."]
numbers = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 9)),
                 elements=st.floats(-1e4, 1e4, width=32))  # fmt: skip


def through(states, bits):
    """What arrives of states that are sent."""
    header = Header(
        0, DTYPES.index(str(states.dtype).removeprefix("torch.")), bits or 0, rows=len(states),
        width=states.shape[1],
    )  # fmt: skip
    buffer = states_to_bytes(states, bits)
    assert len(buffer) == header.size
    return bytes_to_states(header, buffer)


@given(numbers, st.sampled_from(DTYPES))
def test_what_is_sent_whole_arrives_bit_by_bit(states, dtype):
    states = torch.from_numpy(states).to(getattr(torch, dtype))
    assert torch.equal(through(states, None), states)


@settings(deadline=None)
@given(numbers)
def test_eight_bits_are_off_by_half_a_step_at_most(states):
    states = torch.from_numpy(states)
    step = states.abs().amax(-1, keepdim=True) / 127
    # A scale in bfloat16 is off by 2^-9 of itself, which the largest number sees 127 times.
    assert ((through(states, 8) - states).abs() <= step * (0.5 + 127 * 2**-8) + 1e-30).all()


def test_by_hand():
    states = torch.tensor([[127.0, -63.5, 0.4, 0.0], [0.0, 0.0, 0.0, 0.0]])
    scales, rows = round_rows(states)
    assert scales.tolist() == [1.0, 1.0]
    assert rows.tolist() == [[127, -64, 0, 0], [0, 0, 0, 0]]
    scales, rows = round_rows(torch.tensor([[254.0, 2.0], [1.0, -1.0]]), "tensor")
    assert scales.tolist() == [2.0] and rows.tolist() == [[127, 1], [0, 0]]


@given(st.lists(numbers, min_size=1, max_size=4), st.sampled_from([None, 8]))
def test_pieces_that_are_joined_are_the_rows_one_after_another(pieces, bits):
    width = min(one.shape[1] for one in pieces)
    pieces = [torch.from_numpy(one[:, :width].copy()) for one in pieces]
    buffer = joined([states_to_bytes(one, bits) for one in pieces], width, bits)
    rows = sum(map(len, pieces))
    header = Header(0, DTYPES.index("float32"), bits or 0, rows=rows, width=width)
    assert torch.equal(
        bytes_to_states(header, buffer), torch.cat([through(one, bits) for one in pieces])
    )


def test_a_buffer_of_another_length_is_refused():
    with pytest.raises(WireError, match="7 bytes where the header says 8"):
        bytes_to_states(Header(0, DTYPES.index("float32"), rows=1, width=2), b"1234567")


def test_errors_are_those_of_states_that_were_rounded_by_hand():
    model = lab.load("tiny", dtype="float32")
    ids = model.encode(TEXTS[1])["input_ids"]
    cut, network = 2, model.model
    with torch.inference_mode():
        own = network(ids, output_hidden_states=True)
        scales, rows = round_rows(own.hidden_states[cut][0])
        states = (rows * scales.float()[:, None])[None]
        place = torch.arange(ids.shape[1])[None]
        turn = network.model.rotary_emb(states, place)
        for layer in network.model.layers[cut:]:
            states = layer(states, position_embeddings=turn)
        logits = network.lm_head(network.model.norm(states))[0].double()
    p, q = own.logits[0].double().softmax(-1), logits.softmax(-1)
    expected = float((p * (p / q).log()).sum(-1).mean())
    (found,) = lab.cut_errors(model, TEXTS[1], after=cut)
    assert found.divergence == pytest.approx(expected, rel=1e-3)
    assert found.changed == float((p.argmax(-1) != q.argmax(-1)).double().mean())
    assert found.tokens == ids.shape[1] and (found.after, found.scale) == (2, "token")


def test_one_scale_for_all_tokens_loses_more_than_one_a_token():
    model = lab.load("tiny", dtype="float32")
    token, tensor = (lab.cut_errors(model, TEXTS, scale=scale) for scale in ("token", "tensor"))
    assert [one.after for one in token] == [1, 2, 3]
    assert all(0 < a.divergence < b.divergence for a, b in zip(token, tensor))
    assert all(one.divergence < 0.01 for one in token)
    assert not model.model.model.layers[1]._forward_pre_hooks  # nothing is left on the model


def test_a_message_of_one_token_has_the_same_scale_either_way():
    """So in decoding nothing is to be chosen, and stages send one scale a token."""
    states = torch.randn(1, 64)
    for one, other in zip(round_rows(states, "token"), round_rows(states, "tensor"), strict=True):
        assert torch.equal(one, other)


def test_one_loud_token_silences_the_others_only_where_they_share_a_scale():
    states = torch.cat([torch.full((1, 4), 1000.0), torch.full((3, 4), 1.0)])
    assert (round_rows(states, "tensor")[1][1:] == 0).all()
    assert (round_rows(states, "token")[1] == 127).all()


def test_smollm2_needs_a_scale_for_each_token():
    """Its first token is so loud that one scale for all turns most of the others."""
    model = lab.load("smollm2", dtype="bfloat16")
    token, tensor = (
        lab.cut_errors(model, TEXTS[0], after=[4, 15, 26], scale=one) for one in ("token", "tensor")
    )
    assert token[0].tokens == 67
    assert all(10 * a.divergence < b.divergence for a, b in zip(token, tensor, strict=True))
    assert token[1].changed == pytest.approx(0.13, abs=0.05)
    assert tensor[1].changed == pytest.approx(0.97, abs=0.05)
