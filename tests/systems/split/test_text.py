"""The text of stages is the text of the whole model, and its bytes are known before."""

import pytest
import torch
import zmq

import ensemble_lab as lab
from ensemble_lab.systems.splitting.layers import Cache, Layers
from ensemble_lab.systems.splitting.weights import write_layers
from ensemble_lab.systems.splitting.wire import HEADER
from tests.systems.split.conftest import PROMPT


@pytest.mark.parametrize("after", [1, 3])
def test_every_cut_writes_the_text_of_the_whole_model(tiny, greedy, after):
    with lab.split(tiny, after, spares=0) as stages:
        assert stages.generate(PROMPT, 40).tokens == greedy


def test_the_middle_cut_too_and_several_texts_one_after_another(tiny, halves, greedy):
    assert halves.generate(PROMPT, 40).tokens == greedy
    for prompt in ("Once", "A very long prompt. " * 20, PROMPT):
        made = halves.generate(prompt, 12)
        assert made.tokens == tiny.generate(prompt, 12).tokens
        assert made.text == tiny.generate(prompt, 12).text


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_is_the_whole_models_with_the_same_seed(tiny, halves, seed):
    whole = tiny.generate(PROMPT, 30, temperature=0.9, seed=seed)
    assert halves.generate(PROMPT, 30, temperature=0.9, seed=seed).tokens == whole.tokens


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_layers_compute_what_transformers_does_bit_by_bit(tmp_path, dtype, cut):
    model = lab.load("tiny", dtype=dtype)
    write_layers(model, tmp_path / "layers")
    ids = torch.tensor(model.token_ids("Once upon a time there was a cat"))
    with torch.inference_mode():
        whole = model.model(ids[None], output_hidden_states=True, use_cache=True)
        states = model.model.get_input_embeddings()(ids)
        caches = Cache(cut), Cache(4 - cut)
        first, rest = Layers(tmp_path / "layers", 0, cut), Layers(tmp_path / "layers", cut, 4)
        middle = first(states, caches[0])
        assert torch.equal(middle, whole.hidden_states[cut][0])
        last = model.model.model.norm(rest(middle, caches[1]))
        assert torch.equal(last, whole.hidden_states[-1][0])
        # One more token, read behind the cache.
        step = model.model(ids[None, :1], past_key_values=whole.past_key_values)
        more = rest(first(states[:1], caches[0]), caches[1])
        assert torch.equal(model.model.lm_head(model.model.model.norm(more)), step.logits[0])


def test_tokens_read_in_pieces_and_again_give_the_same(tmp_path, tiny):
    write_layers(tiny, tmp_path / "layers")
    layers, states = Layers(tmp_path / "layers", 0, 4), torch.randn(12, 128).double()
    at_once = layers(states, Cache(4))
    cache = Cache(4)
    in_pieces = torch.cat([layers(part, cache) for part in states.split([5, 1, 4, 2])])
    torch.testing.assert_close(in_pieces, at_once, rtol=1e-5, atol=1e-5)  # norms are in float32
    cache.cropped(5)
    torch.testing.assert_close(layers(states[5:], cache), at_once[5:], rtol=1e-5, atol=1e-5)


def test_a_stage_holds_its_own_layers_alone(tmp_path, tiny):
    write_layers(tiny, tmp_path / "layers")
    part = Layers(tmp_path / "layers", 1, 3)
    own = tiny.model.model.layers[1:3].state_dict().values()
    held = [weight for layer in part.layers for weight in layer.values()]
    assert sum(one.nbytes for one in held) == sum(one.nbytes for one in own)


def test_bytes_are_tokens_times_width_times_itemsize_and_headers(tiny, halves):
    n, token = len(tiny.token_ids(PROMPT)), 128 * 8
    steps = list(halves.stream(PROMPT, 6))
    first, later = steps[0], steps[1:]
    assert first.sent == (HEADER + n * token,) * 2
    assert first.received == (HEADER + n * token, HEADER + token)  # the head reads one token
    assert all(step.sent == step.received == (HEADER + token,) * 2 for step in later)
    assert HEADER == 48


def test_bytes_are_those_of_all_frames_of_the_sockets(halves, monkeypatch):
    frames = {"out": 0, "in": 0}
    send, receive = zmq.Socket.send_multipart, zmq.Socket.recv_multipart

    def counted_send(socket, parts, *more, **named):
        frames["out"] += sum(map(len, parts))
        return send(socket, parts, *more, **named)

    def counted_receive(socket, *more, **named):
        parts = receive(socket, *more, **named)
        frames["in"] += sum(map(len, parts))
        return parts

    monkeypatch.setattr(zmq.Socket, "send_multipart", counted_send)
    monkeypatch.setattr(zmq.Socket, "recv_multipart", counted_receive)
    made = halves.generate(PROMPT, 9)
    assert frames == {"out": sum(made.sent), "in": sum(made.received)}


def test_eight_bits_send_one_byte_a_number_and_a_scale_a_token(tiny):
    n = len(tiny.token_ids(PROMPT))
    with lab.split(tiny, 2, bits=8, spares=1) as stages:
        steps = list(stages.stream(PROMPT, 12))
        assert steps[0].sent == (HEADER + n * 1024, HEADER + n * (128 + 2))
        assert steps[0].received == (HEADER + n * (128 + 2), HEADER + 1024)
        assert steps[1].sent == (HEADER + 1024, HEADER + 130)
        undisturbed = [step.token for step in steps]
        text = stages.stream(PROMPT, 12)
        for _ in range(5):
            next(text)
        stages.kill(1)
        (lost,) = next(text).recoveries
        assert lost.resent == HEADER + (n + 5) * 130  # the kept inputs have their scales with them
        list(text)
        assert text.tokens == undisturbed


def test_two_texts_may_take_turns(tiny, halves):
    prompts = ["Once upon", "The sea is", "A cat", "He said", "They", "In the end", "Where"]
    texts = [halves.stream(prompt, 5) for prompt in prompts]  # more than a stage has caches for
    for _ in range(5):
        for text in texts:
            next(text)
    whole = [list(tiny.generate(prompt, 5).tokens) for prompt in prompts]
    assert [text.tokens for text in texts] == whole


def test_a_text_ends_where_the_model_ends_it(tiny, halves, monkeypatch):
    ends = tiny.generate(PROMPT, 40).tokens[2]
    monkeypatch.setattr(type(tiny), "ends", property(lambda self: [ends]))
    text = halves.stream(PROMPT, 40)
    assert [step.token for step in text][-1] == ends and len(text.tokens) == 3
    assert list(text) == []


def test_seconds_are_those_of_the_clock(halves):
    import time

    start = time.perf_counter()
    made = halves.generate(PROMPT, 30)
    passed = time.perf_counter() - start
    told = sum(made.stage_seconds) + sum(made.link_seconds) + made.client_seconds
    assert 0.7 * passed < told <= passed
    assert min(*made.stage_seconds, *made.link_seconds, made.client_seconds) > 0


def test_three_cuts_of_smollm2_write_the_whole_models_text():
    model = lab.load("smollm2", dtype="float32")
    whole = model.generate("What is the capital of France?", 12)
    with lab.split(model, after=(4, 15, 26), spares=0) as stages:
        made = stages.generate("What is the capital of France?", 12)
    assert made.tokens == whole.tokens
    ends = model.model.get_input_embeddings().weight, model.model.lm_head.weight
    assert ends[0] is ends[1]  # a split does not part what is tied
    steps, prompt = len(made.tokens), len(model.token_ids("What is the capital of France?"))
    assert made.sent[3] == steps * HEADER + (prompt + steps - 1) * 576 * 4
