"""Dual models, paths and lesions: views, labels and blocks in any form, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet, refused

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NO_COUNT = [0, -1, 1.5, True, "2", None, [2]]
NO_TEMPERATURE = [0, -1, math.nan, math.inf, "1", None, True, [0.1], 1j]
SCORES = [[0.9, 0.1, 0.3], [0.2, 0.8, 0.0], [0.4, 0.5, 0.6]]
NO_SCORES = [
    None, "ab", 7, [], [[]], [1.0, 2.0], [[1.0, 2.0]], [[1.0, 2.0], [3.0]], [["a", "b"]] * 2,
    [[math.nan, 1.0], [1.0, 1.0]], [[math.inf, 1.0], [1.0, 1.0]], [[1j, 0], [0, 1]],
    {"a": [1, 2]}, {1, 2}, np.zeros((3, 2)), torch.zeros(2, 3), torch.full((2, 2), math.nan),
    [[None, 1], [1, 1]],
]  # fmt: skip
KEEP = {
    "list": list,
    "tuple": lambda rows: tuple(map(tuple, rows)),
    "numpy": np.array,
    "float32": lambda rows: np.array(rows, np.float32),
    "torch": torch.tensor,
    "frame": pd.DataFrame,
    "polars": lambda rows: pl.DataFrame(np.array(rows)),
    "gradient": lambda rows: torch.tensor(rows, requires_grad=True),
    "backwards": lambda rows: np.array(rows)[::-1][::-1],
}


@contract("contrastive_loss", "recall_at_k")
@pytest.mark.parametrize("keep", KEEP.values(), ids=KEEP)
def test_scores_come_in_any_form(keep):
    with quiet():
        found = lab.contrastive_loss(keep(SCORES), np.float32(0.5))
        assert found.item() == pytest.approx(lab.contrastive_loss(SCORES, 0.5).item(), rel=1e-6)
        assert lab.recall_at_k(keep(SCORES), np.int64(1)) == 1
    assert isinstance(lab.recall_at_k(keep(SCORES)), float)


@contract("contrastive_loss")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_low_temperature_does_not_overflow(dtype):
    """CLIP's scale, once learned, grew until half precision gave NaN (CLIP, pull request 530)."""
    scores = torch.tensor(SCORES, dtype=dtype)
    assert lab.contrastive_loss(scores, 1e-6).item() == pytest.approx(0, abs=1e-6)
    assert lab.contrastive_loss(-scores, 1e-6).isfinite()
    for temperature in (1e-45, 5e-324):
        for symmetric in (False, True):
            found = lab.contrastive_loss(scores, temperature, symmetric=symmetric)
            assert found.item() == pytest.approx(0, abs=1e-6)


@contract("contrastive_loss")
@pytest.mark.parametrize(
    "keep",
    [list, tuple, np.array, pd.Series, pl.Series, pd.Categorical, lambda a: np.array(a, object),
     lambda a: torch.tensor([ord(one) for one in a]), lambda a: (one for one in a),
     lambda a: [one == "a" for one in a], lambda a: pd.Series(a, dtype="string"),
     lambda a: pd.Series(a, index=[5, 5, 5])],
)  # fmt: skip
def test_classes_come_in_any_form(keep):
    true = lab.contrastive_loss(SCORES, classes=["a", "b", "a"])
    with quiet():
        assert lab.contrastive_loss(SCORES, classes=keep(["a", "b", "a"])) == true


@contract("contrastive_loss", "recall_at_k")
def test_what_is_no_score_temperature_or_class_is_refused():
    classes = ["ab", 7, [], [1, 2], ["a"] * 3, [[1], [2], [3]], [1, None, 2], [1, "a", 2],
               {"a": 1}, {1, 2, 3}, [1, math.nan, 2]]  # fmt: skip
    loss, recall = lab.contrastive_loss, lab.recall_at_k
    collected(
        {f"loss {i}": lambda x=x: loss(x) for i, x in enumerate(NO_SCORES)}
        | {f"recall {i}": lambda x=x: recall(x) for i, x in enumerate(NO_SCORES)}
        | {f"temperature {x!r}": lambda x=x: loss(SCORES, x) for x in NO_TEMPERATURE}
        | {f"classes {x!r}": lambda x=x: loss(SCORES, classes=x) for x in classes}
        | {f"k {x!r}": lambda x=x: recall(SCORES, x) for x in [*NO_COUNT, 4]}
    )
    with refused("a batch of 1"):
        loss([[1.0]])
    with refused("the class 'same'"):
        loss(SCORES, classes=["same"] * 3)
    with refused("temperature=0"):
        loss(SCORES, 0)
    assert recall([[1.0]]) == 1


def pairs(n=12):
    random = np.random.default_rng(0)
    return random.normal(size=(n, 3)), random.normal(size=(n, 2))


def encoder(**settings):
    return lab.DualEncoder(**{"width": 4, "hidden": 4, "epochs": 1, "random_state": 0} | settings)


@contract("DualEncoder")
@pytest.mark.parametrize("keep", KEEP.values(), ids=KEEP)
def test_views_come_in_any_form(keep):
    first, second = pairs()
    true = encoder().fit(first, second).similarity(first, second)
    with quiet():
        found = encoder(width=np.int64(4), temperature=np.float64(0.05)).fit(
            keep(first.tolist()), keep(second.tolist())
        )
        assert np.allclose(found.similarity(keep(first.tolist()), second), true, atol=1e-5)
        assert found.recall(first, keep(second.tolist()), 2).shape == (1,)


@contract("DualEncoder")
def test_what_cannot_be_paired_is_refused():
    first, second = pairs()
    y = [0, 1] * 6
    wrong = [None, "ab", 7, [], [1.0], [["a", "b"]] * 12, {"a": 1}, np.zeros((12, 0)),
             np.zeros((12, 2, 2)), [[1.0, 2.0], [1.0]] * 6, [[1j, 1]] * 12]  # fmt: skip
    fitted, apart = encoder().fit(first, second), {"leave_out_same_class": True}
    collected(
        {f"first {i}": lambda x=x: encoder().fit(x, second) for i, x in enumerate(wrong)}
        | {f"second {i}": lambda x=x: encoder().fit(first, x) for i, x in enumerate(wrong)}
        | {f"{name} {x!r}": lambda n=name, x=x: encoder(**{n: x}).fit(first, second)
           for name in ("width", "hidden", "members", "epochs", "batch_size") for x in NO_COUNT}
        | {f"temperature {x!r}": lambda x=x: encoder(temperature=x).fit(first, second)
           for x in NO_TEMPERATURE}
        | {f"rate {x!r}": lambda x=x: encoder(learning_rate=x).fit(first, second)
           for x in NO_TEMPERATURE}
        | {f"tower {x!r}": lambda x=x: fitted.embed(first, x) for x in [2, -1, None, True, "first"]}
        | {"columns": lambda: fitted.embed(first, 1), "early": lambda: encoder().embed(first, 0)}
        | {"recall": lambda: fitted.recall(first, second[:5])}
        | {f"y {x!r}": lambda x=x: encoder(**apart).fit(first, second, x)
           for x in [None, "ab", y[:5], [None] * 12]}
    )  # fmt: skip
    for said, call in {
        "the first view has 12 rows and the second 11": lambda: encoder().fit(first, second[:11]),
        "a batch of 1": lambda: encoder().fit(first[:1], second[:1]),
        "give batch_size=2": lambda: encoder(batch_size=1).fit(first, second),
        "all pairs are of the class 3": lambda: encoder(**apart).fit(first, second, [3] * 12),
    }.items():
        with pytest.raises(ValueError, match=said):
            call()
    gap = second.copy()
    gap[4, 1] = math.nan
    with pytest.raises(ValueError, match="the second view has nan in row 4, column 1"):
        encoder().fit(first, gap)
    a, b = pd.DataFrame(first), pd.DataFrame(second).iloc[::-1]
    with pytest.raises(ValueError, match="the same row names in another order"):
        encoder().fit(a, b)
    encoder(**apart).fit(first, second, pd.Series(list("ab") * 6))


@contract("TwoEncoders", "TwoHeads")
def test_sizes_of_networks_are_counts():
    net = lab.TwoEncoders(np.int64(5), 2, np.uint8(3), "sum", np.int32(2))
    assert net(torch.ones(4, 5)).shape == (4, 2)
    assert lab.TwoHeads(5, np.int64(2), heads=3)(torch.ones(4, 5)).shape == (4, 6)
    collected(
        {f"{name} {x!r}": lambda n=name, x=x: lab.TwoEncoders(**{"inputs": 4, "outputs": 2, n: x})
         for name in ("inputs", "outputs", "hidden", "first") for x in NO_COUNT
         if (name, x) != ("first", None)}
        | {f"heads {name} {x!r}":
           lambda n=name, x=x: lab.TwoHeads(**{"inputs": 4, "outputs": 2, n: x})
           for name in ("inputs", "outputs", "trunk", "hidden", "heads") for x in NO_COUNT}
        | {f"merge {x!r}": lambda x=x: lab.TwoEncoders(4, 2, merge=x)
           for x in [None, "add", ["sum"], 1]}
        | {"odd": lambda: lab.TwoEncoders(5, 2), "first": lambda: lab.TwoEncoders(4, 2, first=4)}
    )  # fmt: skip


@contract("FusionInDecoder")
def test_passages_of_different_length_are_filled_up_or_refused():
    model, one = lab.FusionInDecoder(np.int64(4), 8, 2), torch.ones(2, 3, 4)
    assert model([one, one], torch.ones(2, 5, 4)).shape == (2, 5, 4)
    tokens, passages = torch.ones(2, 5, 4), torch.ones(2, 3, 3, 4)
    whole = torch.ones(2, 3, 3, dtype=torch.bool)
    with refused("shapes"):
        model([one, one[:, :2]], tokens)
    with refused("only padding"):
        model(passages, tokens, whole)
    wrong = [None, "ab", 7, [], [None], ["a", "b"], one, torch.ones(2, 3, 3, 5),
             torch.ones(2, 0, 3, 4), np.ones((2, 3, 3, 4))]  # fmt: skip
    collected(
        {f"passages {i}": lambda x=x: model(x, tokens) for i, x in enumerate(wrong)}
        | {f"tokens {i}": lambda x=x: model(passages, x) for i, x in enumerate(
            [None, "ab", torch.ones(5, 4), torch.ones(3, 5, 4), torch.ones(2, 5, 3)])}
        | {f"padding {i}": lambda x=x: model(passages, tokens, x) for i, x in enumerate(
            ["ab", 7, whole.int(), whole[0], [[True]]])}
        | {f"{name} {x!r}":
           lambda n=name, x=x: lab.FusionInDecoder(**{"d_model": 4, "hidden": 8, n: x})
           for name in ("d_model", "hidden", "heads", "layers") for x in NO_COUNT}
        | {"heads": lambda: lab.FusionInDecoder(4, 8, 3)}
    )  # fmt: skip


@contract("MixtureOfTransformers")
def test_labels_of_modalities_come_in_any_form():
    torch.manual_seed(0)
    model = lab.MixtureOfTransformers(np.int64(4), 8, np.int32(3), 1, 2)
    tokens, labels = torch.randn(2, 3, 4), [0, 2, 1]
    true = model(tokens, torch.tensor(labels))
    for keep in (list, tuple, np.array, lambda a: np.array(a, np.int8), pd.Series,
                 lambda a: torch.tensor([a, a])):  # fmt: skip
        with quiet():
            assert torch.equal(model(tokens, keep(labels)), true)
    with refused("modality 3 does not exist"):
        model(tokens, [0, 3, 1])
    with refused("modality -1 does not exist"):
        model(tokens, [0, -1, 1])
    wrong = [
        None,
        "abc",
        7,
        [],
        [0, 1],
        [0.0, 1.0, 2.0],
        ["a", "b", "c"],
        [[0, 1, 2]],
        [0, None, 1],
    ]
    no_tokens = [None, "ab", tokens[0], tokens.double(), tokens.numpy(), torch.ones(2, 3, 5),
                 torch.ones(2, 0, 4)]  # fmt: skip
    dense = lab.MixtureOfTransformers(4, 8, 1)
    collected(
        {f"modality {x!r}": lambda x=x: model(tokens, x) for x in wrong}
        | {f"tokens {i}": lambda x=x: model(x, labels) for i, x in enumerate(no_tokens)}
        | {f"{name} {x!r}":
           lambda n=name, x=x: lab.MixtureOfTransformers(**{"d_model": 4, "hidden": 8, n: x})
           for name in ("d_model", "hidden", "modalities", "layers", "heads") for x in NO_COUNT}
        | {f"dense {i}": lambda x=x: lab.MixtureOfTransformers.from_dense(x, 2)
           for i, x in enumerate([None, model, "tiny", torch.nn.Linear(2, 2)])}
        | {f"copies {x!r}": lambda x=x: lab.MixtureOfTransformers.from_dense(dense, x)
           for x in NO_COUNT}
        | {"heads": lambda: lab.MixtureOfTransformers(4, 8, heads=3)}
    )  # fmt: skip


def llama(kind="Llama"):
    sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 4, "num_hidden_layers": 3}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = getattr(transformers, f"{kind}Config")(**sizes)
    return getattr(transformers, f"{kind}ForCausalLM")(config)


def gpt2():
    config = transformers.GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=2)
    return transformers.GPT2LMHeadModel(config)


def depth_within(model, blocks):
    with lab.lesion(model, blocks):
        return len(model.model.layers)


@contract("lesion")
@pytest.mark.parametrize("kept", [
    1, np.int64(1), [1], (1,), {1}, range(1, 2), np.array([1]), np.array(1), torch.tensor([1]),
    pd.Series([1]), (i for i in [1]), [1, 1], [np.uint8(1)],
])  # fmt: skip
def test_blocks_come_in_any_form(kept):
    assert depth_within(llama(), kept) == 2


@contract("lesion", "lesion_losses", "residual_paths")
def test_blocks_models_and_texts_that_there_are_not():
    model, ids = llama(), [1, 2, 3]
    blocks = [3, -1, 10**5000, 1.0, True, "1", "x" * 999, None, [0, 3], [None], [[1]], ["0"], 1j,
              object(), {"a": 1}, [math.nan]]  # fmt: skip
    models = [None, "tiny", 7, torch.nn.Linear(2, 2), model.model, {}, gpt2(), np.ones(3)]
    texts = [None, 7, [], [1.0, 2.0], ["a"], [[1, 2], [3, 4]], [0, 8], [-1, 2], [True, False],
             {"input_ids": [1]}, "a text for a model without a tokenizer", [None, 1],
             [[1, 2], [3]]]  # fmt: skip
    pairs = ["far", None, 7, [1], [(0, 0)], [(0, 3)], [(0, 1, 2)], [("a", "b")], ["ab"], "ab"]
    losses, paths = lab.lesion_losses, lab.residual_paths
    collected(
        {f"block {str(x)[:9] if not isinstance(x, int) else i}": lambda x=x: depth_within(model, x)
         for i, x in enumerate(blocks)}
        | {f"model {i}": lambda x=x: depth_within(x, 0) for i, x in enumerate(models)}
        | {f"paths of {i}": lambda x=x: paths(x, ids) for i, x in enumerate(models)}
        | {f"losses of {i}": lambda x=x: losses(x, ids) for i, x in enumerate(models)}
        | {f"paths {i}": lambda x=x: paths(model, x) for i, x in enumerate(texts)}
        | {f"losses {i}": lambda x=x: losses(model, x) for i, x in enumerate([*texts, [1]])}
        | {f"pairs {i}": lambda x=x: losses(model, ids, x, progress=False)
           for i, x in enumerate(pairs)}
    )  # fmt: skip
    with refused("block 3 does not exist: this model has 3; use 0 to 2"):
        depth_within(model, 3)
    assert len(model.model.layers) == 3


@contract("lesion_losses", "residual_paths", "Lesions")
@pytest.mark.parametrize("keep", [
    list, tuple, np.array, torch.tensor, pd.Series, lambda a: torch.tensor([a]),
    lambda a: np.array(a, np.int16),
])  # fmt: skip
def test_token_ids_come_in_any_form(keep):
    model = llama()
    true = lab.lesion_losses(model, [1, 2, 3], progress=False)
    with quiet():
        found = lab.lesion_losses(model, keep([1, 2, 3]), [(2, 0), np.array([1, 2])], False)
        paths = lab.residual_paths(model, keep([1, 2, 3]))
    assert isinstance(found, lab.Lesions) and found.whole == true.whole
    assert np.array_equal(found.single, true.single) and len(paths) == 7
    assert found.losses[1, 2] == true.losses[1, 2] and np.isnan(found.losses[0, 1])


@contract("Lesions")
def test_a_pair_is_compared_with_the_sum_of_its_blocks():
    found = lab.Lesions(1.0, np.array([[1.5, 2.5], [2.5, 1.75]]))
    assert found.single.tolist() == [1.5, 1.75] and found.neighbours.tolist() == [2.5]
    assert found.beyond_sum[0, 1] == 2.5 - 1 - 0.5 - 0.75 and np.isnan(found.beyond_sum[0, 0])


@contract("load_lesions")
def test_recorded_lesions_are_read_by_name():
    assert lab.load_lesions("smollm2").losses.shape == (30, 30)
    for wrong in (None, 7, ["a"], "tiny", "../outcomes/game-of-24"):
        with refused():
            lab.load_lesions(wrong)
