"""What the levels offer beside policies and estimators: formulas, parts, facts about models."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, refused
from tests.support.toy_lm import NO_WORDS, network

NO_SHARE = ["0.5", None, True, math.nan, math.inf, -0.1, 1.1, [0.5, 2], 1j]
NO_COST = ["1", None, True, math.nan, math.inf, -1, 1j]
NO_LENGTH = ["4", None, True, 1.5, -1, [1.5], [-1]]
shares = st.fractions(0, 1)
costs = st.fractions(0, 3)


@contract("speedup", "best_gamma")
@given(shares, costs, st.fractions("1/10", 3), st.integers(0, 9))
def test_the_speedup_is_the_formula(alpha, c, v, gamma):
    true = sum(alpha**i for i in range(gamma + 1)) / (gamma * c + v)
    found = lab.speedup(float(alpha), gamma, float(c), float(v))
    assert math.isclose(found, true, rel_tol=1e-9)
    most = lab.best_gamma(float(alpha), float(c), float(v), most=9)
    gains = [Fraction(1)] + [
        sum(alpha**i for i in range(n + 1)) / (n * c + v) for n in range(1, 10)
    ]
    assert float(gains[most]) >= float(max(gains)) * (1 - 1e-9)


@contract("speedup", "best_gamma")
def test_no_formula_takes_what_is_no_share_cost_or_length():
    collected(
        {f"alpha {x!r}": lambda x=x: lab.speedup(x, 4, 0.1) for x in NO_SHARE}
        | {f"c {x!r}": lambda x=x: lab.speedup(0.5, 4, x) for x in NO_COST}
        | {f"v {x!r}": lambda x=x: lab.speedup(0.5, 4, 0.1, x) for x in [*NO_COST, 0]}
        | {f"gamma {x!r}": lambda x=x: lab.speedup(0.5, x, 0.1) for x in NO_LENGTH}
        | {f"best alpha {x!r}": lambda x=x: lab.best_gamma(x, 0.1) for x in NO_SHARE}
        | {f"most {x!r}": lambda x=x: lab.best_gamma(0.5, 0.1, most=x) for x in NO_LENGTH}
    )


@contract("ambiguity_decomposition", "optimal_weights", "variance_of_mean")
def test_identities_refuse_what_does_not_fit():
    good = [[1.0, 2.0], [3.0, 4.0]]
    bad = ["ab", None, 3, [[1.0], [2.0, 3.0]], [["a", "b"], ["c", "d"]], [[math.nan, 1], [1, 1]]]
    collected(
        {f"predictions {x!r}": lambda x=x: lab.ambiguity_decomposition(x, [1, 2]) for x in bad}
        | {f"optimal {x!r}": lambda x=x: lab.optimal_weights(x, [1, 2]) for x in bad}
        | {f"y {x!r}": lambda x=x: lab.optimal_weights(good, x) for x in ([1], "ab", None)}
        | {f"m {x!r}": lambda x=x: lab.variance_of_mean(1.0, 0.5, x) for x in (0, 1.5, "2", True)}
        | {f"rho {x!r}": lambda x=x: lab.variance_of_mean(1.0, x, 4) for x in ("0", 1.1, -0.5)}
    )


@contract("corrected_targets")
def test_corrected_targets_take_lists_and_refuse_what_does_not_fit():
    assert lab.corrected_targets([(0, 2), (2, 4)], (1, 1), 1).tolist() == [[0, 0], [2, 2]]
    good = [[1.0, 2.0], [3.0, 4.0]]
    collected(
        {f"predictions {x!r}": lambda x=x: lab.corrected_targets(x, [1, 2]) for x in
         ("ab", None, 3, [[1.0], [2.0, 3.0]], [["a", "b"]], [[math.nan, 1]], {"a": [1, 2]})}
        | {f"y {x!r}": lambda x=x: lab.corrected_targets(good, x) for x in ([1], "ab", None)}
        | {f"strength {x!r}": lambda x=x: lab.corrected_targets(good, [1, 2], x)
           for x in (-0.1, 1.1, "0", None, True, math.nan)}
    )  # fmt: skip


NO_RULE = ["", "Replace", None, True, -0.1, 1.1, math.nan, [0.1], b"replace"]
NO_COUNT = [0, -1, 1.5, "3", None, True, math.nan]
NO_TEXTS = ["abc", None, 7, {"a": 1}, {"a"}, [None], [b"a"], ["a", ""], ["a", math.nan], [["a"]]]


@contract("rouge_l", "near_duplicates", "filter_pairs")
def test_filters_take_any_list_of_texts_and_refuse_what_is_none():
    texts, wanted = ["Say hi.", "Say hi!", "Sing."], [None, 0, None]
    for dress in (list, tuple, iter, np.array, pd.Series, pl.Series, lambda x: (t for t in x)):
        assert lab.near_duplicates(dress(texts)) == wanted
        assert lab.filter_pairs(dress(texts), dress(["A.", "B.", "C."])).kept.tolist() == [0, 2]
    assert lab.rouge_l(np.str_("a b"), "A, b!") == 1.0
    collected(
        {f"rouge {x!r}": lambda x=x: lab.rouge_l("a", x) for x in (None, 7, b"a", ["a"], "", "?")}
        | {f"near {x!r}": lambda x=x: lab.near_duplicates(x) for x in NO_TEXTS}
        | {f"limit {x!r}": lambda x=x: lab.near_duplicates(["a"], x) for x in NO_RULE}
        | {f"tasks {x!r}": lambda x=x: lab.filter_pairs(x, ["A."]) for x in NO_TEXTS}
        | {"faulty": lambda: lab.filter_pairs(["a"] * 9, ["x" * 999] * 9)}
    )  # fmt: skip


@contract(
    "expected_tokens", "token_chains", "expected_gaussian", "gaussian_chains", "log_variance_drift"
)
def test_formulas_of_collapse_refuse_what_is_no_setting():
    for p in ((0.5, 0.5), np.float32([0.5, 0.5]), pd.Series([0.5, 0.5]), [True, False]):
        assert lab.expected_tokens(p, np.int64(3), 2).diversity.shape == (3,)
    for of in (lab.expected_tokens, lab.token_chains):
        bad = ("ab", None, 1.0, [], [[0.5, 0.5]], [0.5, 0.4], [1.5, -0.5], [math.nan], ["a"])
        collected({f"{of.__name__} {x!r}": lambda x=x, of=of: of(x, 5, 2) for x in bad})
    calls = {
        "expected_tokens": lambda m=5, g=2, keep="replace": lab.expected_tokens(
            [0.5, 0.5], m, g, keep
        ),
        "token_chains": lambda m=5, g=2, keep="replace": lab.token_chains([1.0], m, g, keep),
        "expected_gaussian": lambda m=5, g=2, keep="replace": lab.expected_gaussian(m, g, keep),
        "gaussian_chains": lambda m=5, g=2, keep="replace": lab.gaussian_chains(m, g, keep),
    }
    for name, of in calls.items():
        collected(
            {f"{name} samples {x!r}": lambda x=x, of=of: of(m=x) for x in NO_COUNT}
            | {f"{name} generations {x!r}": lambda x=x, of=of: of(g=x) for x in NO_COUNT}
            | {f"{name} keep {x!r}": lambda x=x, of=of: of(keep=x) for x in [*NO_RULE, 0.01]}
        )
    collected(
        {f"drift {x!r}": lambda x=x: lab.log_variance_drift(x) for x in [*NO_COUNT, 1]}
        | {f"runs {x!r}": lambda x=x: lab.gaussian_chains(5, 2, runs=x) for x in NO_COUNT}
        | {f"seed {x!r}": lambda x=x: lab.token_chains([1.0], 5, 2, seed=x) for x in NO_COUNT[1:]}
    )


@contract("BigramModel", "bigram_chain")
def test_bigram_models_take_tokens_of_any_kind_and_refuse_what_is_none():
    true = lab.BigramModel([[0, 1, 1], [2]], 3).perplexity([[0, 1]])
    for dress in (list, tuple, np.uint8, np.array, pd.Series, pl.Series):
        texts = [dress([0, 1, 1]), dress([2])]
        assert math.isclose(lab.BigramModel(texts, 3).perplexity([dress([0, 1])]), true)
    assert lab.bigram_chain([[0]], [[0]], 1, 1).distinct.tolist() == [1, 1]
    bad = ["ab", None, 7, [], [[]], [[0], []], [[0.0]], [["a"]], [[3]], [[-1]], [None], [[[0]]]]
    collected(
        {f"texts {x!r}": lambda x=x: lab.BigramModel(x, 3) for x in bad}
        | {f"held out {x!r}": lambda x=x: lab.BigramModel([[0]], 3).perplexity(x) for x in bad}
        | {f"chain {x!r}": lambda x=x: lab.bigram_chain(x, [[0]], 3) for x in bad}
        | {f"size {x!r}": lambda x=x: lab.BigramModel([[0]], x) for x in NO_COUNT}
        | {f"write {x!r}": lambda x=x: lab.BigramModel([[0]], 3).write(x) for x in NO_COUNT}
        | {f"keep {x!r}": lambda x=x: lab.bigram_chain([[0]], [[0]], 3, 1, x) for x in NO_RULE}
    )


@contract("first_best")
@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=9))
def test_the_first_of_the_best(columns):
    score = np.array(columns).T  # (3 members, n items)
    for column, at in zip(columns, lab.first_best(score), strict=True):
        assert column[at] >= max(column) * (1 - 1e-9)
        assert all(value < max(column) for value in column[:at])
    assert lab.first_best(np.full((2, 1), -np.inf)).tolist() == [-1]  # nobody answered


@contract("clock_for", "pick_device", "pick_dtype", "available_memory")
def test_unknown_devices_and_formats_are_refused():
    wrong = ["gpu", "cuda:99", "cpu:x", 7.5, "", object()]
    collected(
        {f"pick {x!r}": lambda x=x: lab.pick_device(x) for x in wrong}
        | {f"clock {x!r}": lambda x=x: lab.clock_for(x) for x in ("gpu", "tpu:0", 7.5)}
    )
    for wrong in ("int7", "half", 16):
        with pytest.raises(ValueError, match="use one of float32, float16, bfloat16, float64"):
            lab.pick_dtype("cpu", wrong)
    assert lab.pick_device("cpu").type == "cpu" and lab.available_memory() > 0


@contract("perceptron")
def test_a_perceptron_has_the_asked_sizes():
    import torch

    assert lab.perceptron(3, 2, 5)(torch.zeros(4, 3)).shape == (4, 2)


@contract("describe", "data_folder")
def test_the_catalogue_names_what_it_has():
    assert all(lab.describe(name)["licence"] for name in lab.outcomes_catalogue().index)
    assert (lab.data_folder() / "catalogue.json").is_file()
    for name in ("", "gsm8k", 3, None, ["game-of-24"], "../catalogue"):
        with refused():
            lab.describe(name)


@pytest.fixture(scope="module")
def toy():
    return lab.LanguageModel(network(0), NO_WORDS, "a toy")


@contract("trace", "measure_pair", "LanguageModel", "Draft", "Proposal")
def test_tools_of_decoding_refuse_what_they_cannot_read(toy):
    collected(
        {f"names {x!r}": lambda x=x: lab.trace(toy, [1, 2], names=x) for x in (("a",), "ab", 3)}
        | {
            f"gamma {x!r}": lambda x=x: lab.trace(toy, [1, 2], gamma=x)
            for x in ("4", True, 1.5, -1)
        }
        | {f"pair {x!r}": lambda x=x: lab.measure_pair(toy, [[1, 2]], None, x) for x in (1.5, "4")}
        | {f"draft {x!r}": lambda x=x: lab.trace(toy, [1], draft=x) for x in ("no such", 3, {})}
        | {"two prompts": lambda: lab.trace(toy, [[1], [2]])}
    )
    empty = lab.Proposal(None, [2, 0])
    assert empty.kinds_of(0) == [0, 0] and empty.kinds_of(1) == []


@contract("one_round", "speculative")
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 6))
def test_a_draft_that_is_the_target_is_accepted_whole(seed, gamma, more):
    def model(tokens):
        probabilities = np.random.default_rng(7).dirichlet(np.ones(4), 40)
        return probabilities[: len(tokens)]

    rng = np.random.default_rng(seed)
    drafted, accepted, follow = lab.one_round(model, model, [1, 2], gamma, rng)
    assert accepted == gamma == len(drafted) and 0 <= follow < 4
    text, rounds = lab.speculative(model, model, [1, 2], gamma, 2 + more, rng)
    assert text[:2] == [1, 2] and len(text) == 2 + more
    assert len(rounds) == -(-more // (gamma + 1))  # each gives gamma + 1 tokens


@contract("block_round", "expected_accepted")
@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_a_block_of_a_draft_that_is_the_target_is_accepted_whole(seed, gamma):
    def model(tokens):
        probabilities = np.random.default_rng(7).dirichlet(np.ones(4), 40)
        return probabilities[: len(tokens)]

    rng = np.random.default_rng(seed)
    drafted, accepted, follow = lab.block_round(model, model, [1, 2], gamma, rng)
    assert accepted == gamma == len(drafted) and 0 <= follow < 4
    for form in (list, tuple, np.array, pd.Series):
        p = form([0.25, 0.75])
        assert lab.expected_accepted(p, p, np.int64(gamma), "block") == gamma


@contract("decode", "stream")
def test_a_seed_and_coupled_verification_give_one_text_whatever_the_draft():
    tiny, small = (lab.load(name, dtype="float64") for name in ("tiny", "tiny-draft"))
    how = {"temperature": 1.0, "seed": 3, "max_new_tokens": 12, "verification": "coupled"}
    plain = lab.decode(tiny, "The sea was", **how).tokens
    for draft, gamma in ((small, 3), (small, None), ("lookup", 4), (tiny, 2)):
        assert lab.decode(tiny, "The sea was", draft, gamma=gamma, **how).tokens == plain


@contract("expected_accepted", "decode", "stream")
def test_no_verification_takes_what_is_no_distribution_length_or_rule():
    p = [0.5, 0.5]
    wrong = ([], [0.5], [0.5, 0.6], [1.5, -0.5], [math.nan, 1], "ab", None, 1, [p, p], [True])
    collected(
        {f"p {x!r}": lambda x=x: lab.expected_accepted(x, p, 2) for x in [*wrong, [0.2] * 5]}
        | {f"q {x!r}": lambda x=x: lab.expected_accepted(p, x, 2) for x in wrong}
        | {f"gamma {x!r}": lambda x=x: lab.expected_accepted(p, p, x) for x in (-1, 1.5, "2", True)}
        | {
            f"long {n}": lambda n=n: lab.expected_accepted([1 / n] * n, [1 / n] * n, 10**9)
            for n in (1, 2, 50)
        }
        | {
            f"rule {x!r}": lambda x=x: lab.expected_accepted(p, p, 2, x)
            for x in ("blocks", "Token", None, [], 3)
        }
        | {
            f"verification {x!r}": lambda x=x: lab.decode(lab.load("tiny"), "a", verification=x)
            for x in ("blocks", None, True, ["block"])
        }
    )


@contract("Classifier", "Endpoint", "FeatureHead", "Generation", "ModelError")
def test_models_that_are_none_are_refused(tmp_path):
    folder = tmp_path / "nothing here"
    collected(
        {"no file of a head": lambda: lab.FeatureHead.read(folder / "head.safetensors")}
        | {f"{x!r}": lambda x=x: lab.load(x) for x in ("openai:", "openai:ftp://a#b", str(folder))}
        | {f"classifier {x!r}": lambda x=x: lab.Classifier(x) for x in (3, "svm", None)}
    )
    assert issubclass(lab.ModelError, Exception)


@contract("ConvexWeightsClassifier", "ConvexWeightsRegressor")
def test_convex_weights_are_shares_that_add_up_to_one():
    rng = np.random.default_rng(0)
    X = rng.random((40, 3))
    weights = lab.ConvexWeightsRegressor().fit(X, X @ [0.2, 0.3, 0.5]).weights_
    assert np.allclose(weights, [0.2, 0.3, 0.5], atol=1e-4) and math.isclose(weights.sum(), 1)
    collected(
        {
            f"{name} {x!r}": lambda name=name, x=x: getattr(lab, name)().fit(x, [0, 1])
            for name in ("ConvexWeightsClassifier", "ConvexWeightsRegressor")
            for x in ("ab", [[1j], [2]])
        }
    )


@contract("OnlinePolicy", "Learner", "Feedback", "FollowTheLeader")
def test_online_policies_take_outcomes_only():
    collected({f"{x!r}": lambda x=x: lab.FollowTheLeader().decide(x) for x in (None, [1], "t.csv")})
    assert lab.Feedback(0, 1, 0.5, math.nan, math.nan).model == 1
