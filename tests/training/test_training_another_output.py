"""Another model's output: filters, collapse against enumeration and simulation, bigrams."""

import math
from itertools import compress, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma
from scipy.stats import binom, chi2, norm

from ensemble_lab.training.another_output import overlap
from ensemble_lab.training.another_output.bigram import BigramModel, bigram_chain
from ensemble_lab.training.another_output.filters import filter_pairs
from ensemble_lab.training.another_output.gaussian import (
    expected_gaussian,
    gaussian_chains,
    log_variance_drift,
)
from ensemble_lab.training.another_output.overlap import common, near_duplicates, rouge_l, words
from ensemble_lab.training.another_output.tokens import expected_tokens, token_chains

RULES = ("replace", "accumulate", 0.1, 0.5, 1.0)


def within(found, wanted, error):
    """Whether all of many means are in their intervals, which hold together with 99.9 %."""
    z = norm.ppf(1 - 0.001 / 2 / np.size(wanted))
    return bool((np.abs(found - wanted) <= z * error + 1e-9).all())


# -- ROUGE-L -------------------------------------------------------------------------------------

few_words = st.lists(st.sampled_from("abcd"), min_size=1, max_size=7)
texts = st.lists(few_words.map(" ".join), min_size=1, max_size=12)


def longest(first, second):
    """The longest common subsequence by trying all of them."""

    def subsequences(text):
        masks = product((False, True), repeat=len(text))
        return {tuple(compress(text, mask)) for mask in masks}

    return max(map(len, subsequences(first) & subsequences(second)))


@given(few_words, few_words)
def test_rouge_l_is_what_trying_all_subsequences_gives(first, second):
    assert common(first, second) == longest(first, second) == common(second, first)
    f = 2 * longest(first, second) / (len(first) + len(second))
    assert rouge_l(" ".join(first), " ".join(second)) == pytest.approx(f)


def by_table(first, second):
    """The textbook's table, for texts too long to try everything."""
    row = [0] * (len(second) + 1)
    for a in first:
        new = [0]
        for j, b in enumerate(second):
            new.append(row[j] + 1 if a == b else max(row[j + 1], new[j]))
        row = new
    return row[-1]


def test_long_texts_are_compared_word_by_word():
    rng = np.random.default_rng(0)
    for _ in range(30):  # more words than a machine word has bits
        first, second = (list(map(str, rng.integers(0, 9, rng.integers(60, 200)))) for _ in "12")
        assert common(first, second) == by_table(first, second)


@given(few_words, few_words)
@settings(max_examples=50, deadline=None)  # its import takes a second
def test_rouge_l_is_that_of_the_package_rouge_score(first, second):
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    one, other = "The " + " ".join(first) + ", end.", " ".join(second) + "-the!"
    assert rouge_l(one, other) == pytest.approx(scorer.score(one, other)["rougeL"].fmeasure)


def test_words_of_all_scripts_count():
    assert words("It's 3 o'clock_now — Ünder") == ["it", "s", "3", "o", "clock", "now", "ünder"]
    for text in ("สวัสดีครับ", "प्रधानमन्त्री", "Привет, мир", "今日は雨です"):
        assert rouge_l(text, text) == 1.0  # rouge_score says 0: it reads a to z only
    assert rouge_l("今日は雨", "今日は雪") == 0.75


# -- near duplicates -----------------------------------------------------------------------------


@given(texts, st.sampled_from([0.0, 0.3, 0.5, 2 / 3, 0.7, 1.0]))
def test_near_duplicates_are_those_of_a_loop_over_the_kept(texts, limit):
    kept, wanted = [], []
    for i, text in enumerate(texts):
        new = text.split()
        like = [
            j
            for j in kept
            if 2 * by_table(new, texts[j].split()) / (len(new) + len(texts[j].split())) > limit
        ]
        wanted.append(like[0] if like else None)
        kept += [] if like else [i]
    assert near_duplicates(texts, limit) == wanted


def test_a_dropped_text_drops_no_other():
    chain = ["a b c d e", "a b c d f", "a b c g f"]  # 1 is like 0, 2 is like 1 only
    assert rouge_l(chain[1], chain[2]) > 0.7 > rouge_l(chain[0], chain[2])
    assert near_duplicates(chain) == [None, 0, None]
    assert near_duplicates(chain[::-1]) == [None, 0, None]
    assert near_duplicates(["Same.", "same", "SAME!"], 1.0) == [None] * 3


@pytest.mark.parametrize("limit", [0.3, 0.7])
def test_many_texts_are_compared_by_their_rare_words_alone(limit, monkeypatch):
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, rng.zipf(1.5, rng.integers(5, 15)))) for _ in range(150)]
    asked = []
    monkeypatch.setattr(
        overlap, "common", lambda *pair, known=overlap.common: asked.append(1) or known(*pair)
    )
    found = near_duplicates(texts, limit)
    wanted = []
    for i, text in enumerate(texts):
        kept = [j for j in range(i) if wanted[j] is None]
        wanted.append(next((j for j in kept if rouge_l(text, texts[j]) > limit), None))
    assert found == wanted and any(one is not None for one in found)
    assert len(asked) < 150 * 149


def test_texts_too_long_to_compare_are_refused():
    long = "a " * 120_000
    with pytest.raises(ValueError, match="120,000 and 120,000 words .* cut them into parts"):
        rouge_l(long, long)
    assert rouge_l(long, "b " * 120_000) == 0  # no word in common: nothing to compare


def test_marks_belong_to_their_words():
    assert rouge_l("caf\u00e9 noir", "cafe\u0301 noir") == 1  # composed, and as two signs
    assert rouge_l("\u0915\u093e", "\u0915\u0940") == 0  # Hindi: two vowels on one consonant
    assert words("\u0e17\u0e35\u0e48") == ["\u0e17\u0e35\u0e48"]


# -- filters -------------------------------------------------------------------------------------

SOUND = "Name a fish.", "A cod."
FAULTY = {
    "empty": [("", "A cod."), ("Name a fish.", "..."), ("  \n", "")],
    "cut off": [("Tell a tale.", "Once upon a time and"), ("Count.", "One, two,")],
    "repeats itself": [("Joke.", "A man is a man, a woman is a woman, a man is a man."),
                       ("Say x.", "x x x x x.")],
    "answer is the task": [("Play a song.", "play a SONG!")],
}  # fmt: skip


@pytest.mark.parametrize("reason", FAULTY)
def test_each_fault_is_found_and_named(reason):
    for task, answer in FAULTY[reason]:
        found = filter_pairs([task, SOUND[0]], [answer, SOUND[1]])
        assert found.reasons == (reason, "") and found.dropped == {reason: 1}
        assert found.kept.tolist() == [1]


@pytest.mark.parametrize(
    "answer",
    [
        "A cod.",
        '"A cod."',
        "Cod!",
        "Yes (a cod).",
        "No. No. No.",
        "Eine Forelle …",
        "鱈。",
        "A cod! \U0001f41f",
        "Cod.\u200b",
        "Ja.\u201c",
        "他说：「鱈。」",
        "（鱈。）",
        "\u0647\u0644\u061f",
        "\u0920\u0940\u0915\u0964",
        "人工智能很有用。我喜欢人工智能。",
    ],
)
def test_a_sound_answer_is_kept(answer):
    assert filter_pairs(["Name a fish."], [answer]).kept.tolist() == [0]


def test_a_chinese_answer_that_repeats_itself_is_found():
    said = ["我真的不知道该说什么才好呢，我真的不知道该说什么才好呢。"]
    assert filter_pairs(["鱈？", "A."], [*said, "B."]).dropped == {"repeats itself": 1}


def test_a_faulty_item_displaces_no_good_one_and_the_counts_add_up():
    tasks = ["Name a fish.", "Name a fish.", "Name a fish!", "Is it cold?"]
    answers = ["A", "A cod.", "An eel.", "Maybe."]
    found = filter_pairs(tasks, answers)
    assert found.reasons == ("cut off", "", "near duplicate", "")
    assert len(found.kept) + sum(found.dropped.values()) == 4
    assert filter_pairs(tasks, answers, limit=None).kept.tolist() == [1, 2, 3]
    unlabelled = {"no label": lambda task, answer: "cold" in task and answer not in ("Yes.", "No.")}
    assert filter_pairs(tasks, answers, more=unlabelled).reasons[3] == "no label"
    never = {"cut off": lambda task, answer: False}  # in the place of ours
    assert filter_pairs(tasks, answers, more=never).reasons[:2] == ("", "near duplicate")


# -- tokens: exact enumeration -------------------------------------------------------------------


def enumerated(p, samples, generations, keep):
    """Diversity and chances to be alive, over every text that could be written."""
    p, tokens = np.array(p), range(len(p))
    real = round(keep * samples) if not isinstance(keep, str) else 0
    worlds, diversity, alive = {(): 1.0}, [1 - (p**2).sum()], [p > 0]
    for _ in range(generations):
        after = {}
        for text, chance in worlds.items():
            shares = np.bincount(text, minlength=len(p)) / len(text) if text else p
            for new in product(tokens, repeat=samples):
                drawn = np.prod([p[t] if i < real else shares[t] for i, t in enumerate(new)])
                if drawn:
                    read = tuple(sorted(text + new if keep == "accumulate" else new))
                    after[read] = after.get(read, 0.0) + chance * drawn
        worlds = after
        counts = np.array([np.bincount(text, minlength=len(p)) for text in worlds])
        chance = np.array(list(worlds.values()))
        assert chance.sum() == pytest.approx(1)
        shares = counts / counts.sum(1, keepdims=True)
        diversity.append(chance @ (1 - (shares**2).sum(1)))
        alive.append(chance @ (counts > 0))
    return diversity, alive


@pytest.mark.parametrize("keep", ["replace", "accumulate", 1 / 3, 2 / 3, 1.0])
@pytest.mark.parametrize("p", [[0.7, 0.3], [0.5, 0.25, 0.25, 0.0], [1.0]])
def test_the_formula_of_tokens_is_that_of_all_texts(p, keep):
    formula = expected_tokens(p, 3, 3, keep)
    diversity, alive = enumerated(p, 3, 3, keep)
    np.testing.assert_allclose(formula.diversity, diversity, atol=1e-12)
    np.testing.assert_allclose(formula.alive, alive, atol=1e-12)


def test_the_numbers_of_the_textbook():
    formula = expected_tokens([0.9, 0.1], 20, 10)
    assert formula.diversity[10] / formula.diversity[0] == pytest.approx(0.59874, abs=1e-5)
    assert 1 - formula.alive[1, 1] == pytest.approx(0.12158, abs=1e-5)
    many = expected_tokens([0.9, 0.1], 20, 20_000, "accumulate")
    x = np.pi / np.sqrt(20)
    assert many.diversity[-1] / many.diversity[0] == pytest.approx(np.sin(x) / x, rel=1e-4)
    assert (many.alive[1:] == many.alive[1]).all()
    one = expected_tokens([0.5, 0.5], 1, 1)  # one sample, one generation
    assert one.diversity.tolist() == [0.5, 0.0] and one.alive[1].tolist() == [0.5, 0.5]


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(1, 30),
       st.sampled_from(RULES))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_diversity_and_life_never_grow_and_real_data_help(weights, samples, keep):
    p = np.array(weights) / sum(weights)
    if not isinstance(keep, str) and round(keep * samples) == 0:
        return
    formula, worst = expected_tokens(p, samples, 8, keep), expected_tokens(p, samples, 8)
    assert (np.diff(formula.diversity) <= 1e-12).all()
    assert (formula.diversity >= worst.diversity - 1e-12).all()
    assert (formula.alive >= worst.alive - 1e-9).all() and (formula.alive <= 1 + 1e-12).all()
    ratio = (1 - 1 / samples) ** np.arange(9)
    np.testing.assert_allclose(worst.diversity, worst.diversity[0] * ratio, atol=1e-12)


@pytest.mark.parametrize("keep", RULES)
def test_chains_of_texts_follow_the_formula(keep):
    p = 1 / np.arange(1.0, 41)
    p /= p.sum()
    formula, runs = expected_tokens(p, 50, 12, keep), 4000
    chains = token_chains(p, 50, 12, keep, runs, seed=3)
    error = chains.diversity.std(0, ddof=1) / np.sqrt(runs)
    assert within(chains.diversity.mean(0), formula.diversity, error)
    alive = np.rint(runs * chains.alive)  # so many chains: binomial, and some chances are near 1
    chance = np.clip(formula.alive, 0, 1)
    tail = 0.0005 / chance.size
    assert (binom.cdf(alive, runs, chance) > tail).all()
    assert (binom.sf(alive - 1, runs, chance) > tail).all()


def test_a_chain_that_draws_from_the_wrong_text_is_found_out():
    """Planted faults: the formula tells apart what the simulation confuses."""
    p = np.full(10, 0.1)
    runs = 2000
    for right, wrong in (("replace", "accumulate"), (0.1, "replace"), (0.5, 0.1)):
        chains = token_chains(p, 20, 8, wrong, runs)
        error = chains.diversity[:, -1].std() / np.sqrt(runs)
        wanted = expected_tokens(p, 20, 8, right).diversity[-1]
        assert abs(chains.diversity[:, -1].mean() - wanted) > 9 * error


# -- the Gaussian --------------------------------------------------------------------------------


def test_the_drift_is_below_zero_for_any_number_of_samples():
    for samples in (2001, 2002, 2003):  # both formulas meet
        half = (samples - 1) / 2
        true = float(digamma(half) - np.log(half))
        assert math.isclose(log_variance_drift(samples), true, rel_tol=1e-9)
    assert math.isclose(log_variance_drift(10**18), -1e-18, rel_tol=1e-9)


def test_the_drift_of_the_variance():
    for samples, drift in ((10, -0.11521), (30, -0.034879), (100, -0.010135)):
        assert log_variance_drift(samples) == pytest.approx(drift, abs=6e-6)
    logs = np.log(gaussian_chains(10, 30, runs=8000).variances)
    steps = np.diff(logs, axis=1)
    error = steps.std() / np.sqrt(steps.size)
    assert within(steps.mean(), log_variance_drift(10), error)
    assert np.median(logs[:, -1]) == pytest.approx(30 * log_variance_drift(10), abs=0.2)
    assert (logs[:, -1] < 0).mean() > 0.85  # nearly all chains have narrowed


def by_samples(samples, generations, keep, runs, seed):
    """The same chains sample by sample: means and variances (runs, g + 1)."""
    rng, found = np.random.default_rng(seed), []
    real = round(keep * samples) if not isinstance(keep, str) else 0
    for _ in range(runs):
        mean, variance, data, steps = 0.0, 1.0, np.empty(0), [(0.0, 1.0)]
        for _ in range(generations):
            new = rng.normal(mean, np.sqrt(variance), samples - real)
            new = np.append(new, rng.normal(size=real))
            data = np.append(data, new) if keep == "accumulate" else new
            mean, variance = data.mean(), data.var(ddof=1)
            steps.append((mean, variance))
        found.append(steps)
    return np.moveaxis(found, 2, 0)


@pytest.mark.parametrize("keep", RULES)
@pytest.mark.parametrize("how", ["ours", "sample by sample"])
def test_chains_of_gaussians_follow_the_formula(keep, how):
    formula = expected_gaussian(10, 6, keep)
    if how == "ours":
        means, variances = gaussian_chains(10, 6, keep, 20_000, seed=1)
    else:
        means, variances = by_samples(10, 6, keep, 1500, seed=5)
    for found, wanted in ((means**2, formula.error), (variances, formula.variance)):
        error = found.std(0, ddof=1) / np.sqrt(len(found))
        assert within(found.mean(0), wanted, error), (keep, how)


def test_accumulated_data_keep_the_error_below_a_bound_and_replaced_ones_do_not():
    n = np.arange(201)
    np.testing.assert_allclose(expected_gaussian(10, 200).error, n / 10)
    accumulated = expected_gaussian(10, 200, "accumulate")
    assert accumulated.error[-1] < np.pi**2 / 6 / 10
    assert accumulated.error[-1] > 0.9 * np.pi**2 / 6 / 10
    assert accumulated.variance[-1] > 0.92  # it tends to a share of the real variance above 0
    half = expected_gaussian(10, 200, 0.5).error
    assert half[-1] == pytest.approx(half[50])


# -- the bigram model ----------------------------------------------------------------------------


def probabilities(model, size):
    """What the model says after every token, from its perplexity of two tokens against one."""
    table = np.zeros((size + 1, size + 1))
    pairs, times = model._counts
    table[pairs // (size + 1), pairs % (size + 1)] = times
    share = 0.99 * table.sum(0) / table.sum() + 0.01 / (size + 1)
    return (table + 4 * share) / (table.sum(1, keepdims=True) + 4)


def test_the_bigram_model_by_hand():
    texts = [[0, 1, 0, 1], [0, 1]]
    model = BigramModel(texts, 3)  # token 2 is never read; 3 is the beginning and the end
    p = probabilities(model, 3)
    np.testing.assert_allclose(p.sum(1), 1)
    single = 0.99 * np.array([3, 3, 0, 2]) / 8 + 0.01 / 4
    np.testing.assert_allclose(p[0], (np.array([0, 3, 0, 0]) + 4 * single) / 7)
    np.testing.assert_allclose(p[3], (np.array([2, 0, 0, 0]) + 4 * single) / 6)
    surprise = -np.log([p[3, 0], p[0, 2], p[2, 3]]).mean()
    assert model.perplexity([[0, 2]]) == pytest.approx(np.exp(surprise))
    assert model.distinct == 2


def test_texts_are_written_by_the_model():
    rng = np.random.default_rng(0)
    read = [rng.integers(0, 4, rng.integers(1, 6)) for _ in range(40)]
    model = BigramModel(read, 6)  # 4 and 5 are never read
    written = model.write(20_000, most=12, seed=1)
    assert min(map(len, written)) >= 1 and max(map(len, written)) <= 12
    assert {int(t) for text in written for t in text} == {0, 1, 2, 3}
    after = np.array(
        [
            text[i + 1] if i + 1 < len(text) else 6
            for text in written
            for i in range(min(len(text), 11))
            if text[i] == 2
        ]
    )
    table = np.zeros((7, 7))
    for text in read:
        for v, w in zip([6, *text], [*text, 6]):
            table[v, w] += 1
    formula = (table[2] + 4 * table.sum(0) / table.sum()) / (table[2].sum() + 4)
    seen = np.bincount(after, minlength=7)
    there = formula > 0
    assert not seen[~there].any()
    distance = ((seen - len(after) * formula)[there] ** 2 / (len(after) * formula[there])).sum()
    assert distance < chi2.ppf(0.999, there.sum() - 1)
    again = model.write(5, seed=7)
    assert all((a == b).all() for a, b in zip(again, model.write(5, seed=7), strict=True))


def test_a_chain_of_bigram_models():
    rng = np.random.default_rng(2)
    shares = 1 / np.arange(1.0, 201)
    shares /= shares.sum()
    real = [rng.choice(200, 12, p=shares) for _ in range(160)]
    texts, held_out = real[:80], real[80:]
    ends = {}
    for keep in ("replace", "accumulate", 0.1, 1.0):
        chains = [bigram_chain(texts, held_out, 200, 6, keep, seed) for seed in range(3)]
        assert all(len(one.distinct) == len(one.perplexity) == 7 for one in chains)
        ends[keep] = np.mean([one.perplexity[-1] for one in chains])
        assert all(one.distinct[0] == len({t for text in texts for t in text}) for one in chains)
        if keep == "replace":
            assert all((np.diff(one.distinct) <= 0).all() for one in chains)
            assert all(one.distinct[-1] < 0.6 * one.distinct[0] for one in chains)
        if keep in ("accumulate", 1.0):
            assert all((one.distinct == one.distinct[0]).all() for one in chains)
    assert ends["replace"] > ends[0.1] > ends["accumulate"] > ends[1.0]
    assert len(bigram_chain(texts, held_out, 200, generations=1).distinct) == 2


def test_texts_are_read_once_and_in_any_form():
    texts = [[0, 1, 0, 1], [0, 1]]
    true = bigram_chain(texts, texts, 2, 3)
    found = bigram_chain(iter(texts), (text for text in texts), 2, 3)
    assert found.perplexity.tolist() == true.perplexity.tolist()
    for make in (np.array, pd.Series, lambda text: pd.Series(text, dtype="Int64")):
        assert BigramModel(map(make, texts), 2).perplexity(texts) == true.perplexity[0]


# -- bad input -----------------------------------------------------------------------------------

BAD = {
    "None is no text": (lambda: rouge_l("a", None), "second is None"),
    "a text without words": (lambda: rouge_l("!?", "a"), "without any word"),
    "one string": (lambda: near_duplicates("abc"), "pass a list"),
    "no texts": (lambda: near_duplicates([]), "texts is empty"),
    "an empty text": (lambda: near_duplicates(["a", " "]), "text 1 is ' ', without any word"),
    "a number": (lambda: near_duplicates(["a", 7]), "text 1 is 7, not a text"),
    "NaN of a table": (lambda: near_duplicates(["a", float("nan")]), "text 1 is nan, not a text"),
    "a limit in per cent": (lambda: near_duplicates(["a"], 70), "limit=70"),
    "nothing left": (lambda: filter_pairs(["a", "b"], ["", "c"]), "of 2 is left (1 'empty'"),
    "nothing given": (lambda: filter_pairs([], []), "none were given"),
    "faults without names": (lambda: filter_pairs(["a"], ["B."], more=[len]), "more=["),
    "a fault without a name": (lambda: filter_pairs(["a"], ["B."], more={"": len}), "in words"),
    "a fault that is text": (lambda: filter_pairs(["a"], ["B."], more={"x": 7}), "a function"),
    "a table too large": (lambda: expected_tokens([1.0], 10**6, 1), "fewer samples"),
    "texts too large": (lambda: token_chains([1.0], 10**6, 1), "fewer runs"),
    "chains too long": (lambda: gaussian_chains(5, 10**6), "fewer runs or generations"),
    "a table of too many kinds": (lambda: expected_tokens(np.arange(1, 2001) / 2001000, 10**5, 1,
                                                         1.0), "fewer samples"),
    "generations without end": (lambda: expected_tokens([1.0], 5, 10**9, "accumulate"),
                                "fewer generations"),
    "more than 63 bits": (lambda: log_variance_drift(10**400), "to 2**63 - 1"),
    "more tokens than fit": (lambda: BigramModel([[0]], 10**9), "a smaller size"),
    "longer texts than fit": (lambda: BigramModel([[0]], 3).write(9, 10**9), "shorter ones"),
    "a sum near 1": (lambda: expected_tokens([0.5, 0.500003], 5, 1), "sum to 1.000003"),
    "masked shares": (lambda: expected_tokens(np.ma.array([0.5, 0.5], mask=[0, 1]), 5, 1), "None"),
    "masked tokens": (lambda: BigramModel([np.ma.array([0, 1], mask=[0, 1])], 3), "[0, None]"),
    "lists in a text": (lambda: BigramModel([[0, [1]]], 3), "text 0 is [0, [1]]"),
    "a share that leaves nothing": (lambda: expected_gaussian(10, 3, 0.97), "use 0.9 or less"),
    "a fault that fails": (lambda: filter_pairs(["a"], ["B."], more={"x": lambda t, a: 1 / 0}),
                           "'x' cannot judge item 0: ZeroDivisionError"),
    "a fault that is many": (lambda: filter_pairs(["a"], ["B."], more={"x": lambda t, a:
                                                                     np.zeros(2)}), "'x'"),
    "answers in another order": (
        lambda: filter_pairs(pd.Series(["a", "b"], [1, 2]), pd.Series(["B.", "A."], [2, 1])),
        "give answers.loc[tasks.index]"),
    "lists of two lengths": (lambda: filter_pairs(["a"], []), "1 tasks and 0 answers"),
    "an answer that is None": (lambda: filter_pairs(["a"], [None]), "answers 0 is None"),
    "shares that do not add up": (lambda: expected_tokens([0.5, 0.4], 5, 1), "sum to 0.9"),
    "percentages": (lambda: expected_tokens([50, 50], 5, 1), "sum to 100"),
    "a negative share": (lambda: token_chains([1.5, -0.5], 5, 1), "from 0 up"),
    "NaN": (lambda: expected_tokens([0.5, float("nan")], 5, 1), "from 0 up"),
    "no token": (lambda: expected_tokens([], 5, 1), "one a token"),
    "no sample": (lambda: expected_tokens([1.0], 0, 1), "samples=0"),
    "half a sample": (lambda: expected_tokens([1.0], 2.5, 1), "samples=2.5"),
    "no generation": (lambda: token_chains([1.0], 5, 0), "generations=0"),
    "no run": (lambda: token_chains([1.0], 5, 1, runs=0), "runs=0"),
    "True is no seed": (lambda: token_chains([1.0], 5, 1, seed=True), "seed=True"),
    "a share above 1": (lambda: expected_tokens([1.0], 5, 1, 1.5), "keep=1.5"),
    "a share of no sample": (lambda: expected_tokens([1.0], 5, 1, 0.01), "not one real sample"),
    "another rule": (lambda: expected_gaussian(5, 1, "add"), "keep='add'"),
    "True is no rule": (lambda: expected_gaussian(5, 1, True), "keep=True"),
    "a variance of one": (lambda: gaussian_chains(1, 3), "samples=1: use a whole number from 2 up"),
    "a drift of one": (lambda: log_variance_drift(1), "samples=1"),
    "an unknown token": (lambda: BigramModel([[0, 9]], 3), "has token 9"),
    "words for tokens": (lambda: BigramModel([["a"]], 3), "give a list of tokens"),
    "an empty list": (lambda: BigramModel([[0], []], 3), "text 1"),
    "no texts to learn": (lambda: BigramModel([], 3), "texts is empty"),
    "nothing to write": (lambda: BigramModel([[0]], 3).write(0), "texts=0"),
    "held-out texts of others": (lambda: bigram_chain([[0]], [[5]], 3), "has token 5"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_named_with_the_fix(what):
    call, message = BAD[what]
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)
    assert len(str(caught.value)) <= 300
