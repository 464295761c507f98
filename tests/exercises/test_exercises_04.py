"""The checks of notebook 04 refuse what people get wrong, written in other ways than theirs."""

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.exercises.bandits import check_discount, check_propensity, check_thompson

# -- Thompson sampling ----------------------------------------------------------------------------


def by_policy(correct, rng):
    """The exercise by the package's own learner."""
    learner = lab.Thompson().begin(tuple(f"m{j}" for j in range(correct.shape[1])), rng)
    found = []
    for i, row in enumerate(correct):
        (arm,) = learner.choose({}, i)
        learner.learn(lab.Feedback(i, arm, float(row[arm]), float("nan"), float("nan")))
        found.append(arm)
    return found


def one_by_one(correct, rng, a=1, b=1, wrong=True, sees=None, pick=max):
    """Draw by draw; parts may be exchanged."""
    m, found = correct.shape[1], []
    belief = [[a, b] for _ in range(m)]
    for row in correct.tolist():
        draws = [rng.beta(*one) for one in belief]
        arm = draws.index(pick(draws))
        for j in range(m) if sees == "all" else [arm]:
            belief[j][0] += row[j] > 0
            belief[j][1] += wrong and row[j] == 0
        found.append(arm)
    return found


def test_other_ways_to_thompson_pass():
    assert check_thompson(by_policy)
    assert check_thompson(one_by_one)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda c, rng: one_by_one(c, rng, sees="all"), "or of the one that was asked?"),
        (lambda c, rng: one_by_one(c, rng, wrong=False), "a wrong answer change"),
        (lambda c, rng: one_by_one(c, rng, a=2, b=2), "before any answer is known?"),
        (lambda c, rng: one_by_one(c, rng, pick=min), "or the lowest?"),
        (lambda c, rng: rng.beta(1, 1, c.shape).argmax(axis=1), "change after an answer?"),
        (lambda c, rng: one_by_one(1 - c, rng), "grows with right answers?"),
        (lambda c, rng: one_by_one(c, rng)[-1], "positions"),
    ],
)
def test_wrong_choices_are_refused_with_their_hint(wrong, hint):
    verdict = check_thompson(wrong)
    assert not verdict and hint in verdict.message


# -- a discount -----------------------------------------------------------------------------------


def weighed(grades, discount, level, prior=1, newest=1.0, first=None):
    """By the weight of every grade at every time; parts may be exchanged."""
    means = []
    for i in range(len(grades)):
        weight = newest * discount ** np.arange(i, -1, -1)
        means.append((prior + weight @ grades[: i + 1]) / (2 * prior + weight.sum()))
    below = [i + 1 for i, mean in enumerate(means) if mean < level]
    own = below[0] if below else len(grades)
    return means, own if first is None else first(grades, below)


def test_another_way_to_a_discount_passes():
    assert check_discount(weighed)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda g, d, level: weighed(g, 1.0, level), "forgets nothing"),
        (lambda g, d, level: weighed(g, d, level, newest=d), "lose weight at once?"),
        (lambda g, d, level: weighed(g, d, level, prior=0), "before any answer is known?"),
        (lambda g, d, level: weighed(1 - g, d, level), "or of wrong answers?"),
        (lambda g, d, level: weighed(g, d, level, first=lambda g, b: (b or [len(g) + 1])[0] - 1),
         "how many are known?"),
        (lambda g, d, level: weighed(g, d, level, first=lambda g, b: len(b)), "How often"),
        (lambda g, d, level: weighed(g, d, level, first=lambda g, b: (b or [1])[0]),
         "never falls below"),
        (lambda g, d, level: weighed(g, d, level, first=lambda g, b: b[-1] if b else len(g)),
         "or the last?"),
    ],
)  # fmt: skip
def test_wrong_discounts_are_refused_with_their_hint(wrong, hint):
    verdict = check_discount(wrong)
    assert not verdict and hint in verdict.message


# -- a log ----------------------------------------------------------------------------------------


def summed(grade, chosen, propensity, policy, value=None, effective=None):
    """Question by question; parts may be exchanged."""
    total, weights = 0.0, []
    for g, c, p, row in zip(grade, chosen, propensity, policy, strict=True):
        weights.append(row[c] / p)
        total += g * row[c] / p
    found = total / len(grade), sum(weights) ** 2 / sum(w * w for w in weights)
    case = grade, chosen, propensity, policy
    return (
        found[0] if value is None else value(*case),
        found[1] if effective is None else effective(*case),
    )


def test_another_way_to_a_log_passes():
    assert check_propensity(summed)


def estimates(grade, chosen, propensity, policy):
    """The package's estimate for a policy that always asks one model."""
    correct = np.full(policy.shape, np.nan)
    correct[np.arange(len(grade)), chosen] = grade
    models = [f"m{j}" for j in range(policy.shape[1])]
    log = lab.Outcomes(models=models, items=range(len(grade)), correct=correct)
    table = lab.accuracy_from_choices(log, propensity, estimate="inverse propensity")
    return table.accuracy.to_numpy()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_right_answer_is_the_packages():
    for grade, chosen, propensity, policy in check_propensity.cases():
        each = estimates(grade, chosen, propensity, policy)
        for j, expected in enumerate(each):
            always = np.tile(np.eye(len(each))[j], (len(grade), 1))
            value, _ = check_propensity.right(grade, chosen, propensity, always)
            assert value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"value": lambda g, c, p, q: np.mean(g)}, "log's own policy"),
        ({"value": lambda g, c, p, q: np.mean(g / p)}, "ask the same model?"),
        ({"value": lambda g, c, p, q: np.mean([x * r[j] for x, j, r in zip(g, c, q)])},
         "too seldom?"),
        ({"value": lambda g, c, p, q: sum(x * r[j] / y for x, j, y, r in zip(g, c, p, q))
          / sum(r[j] / y for j, y, r in zip(c, p, q))}, "divide by?"),
        ({"value": lambda g, c, p, q: sum(x * r[j] / y for x, j, y, r in zip(g, c, p, q))},
         "or a mean?"),
        ({"effective": lambda g, c, p, q: len(g)}, "tell as much?"),
        ({"effective": lambda g, c, p, q: sum(1 / p) ** 2 / sum(1 / p**2)},
         "inverse propensities alone?"),
        ({"effective": lambda g, c, p, q: sum(r[j] / y for j, y, r in zip(c, p, q))},
         "sum of the weights?"),
    ],
)  # fmt: skip
def test_wrong_estimates_are_refused_with_their_hint(wrong, hint):
    verdict = check_propensity(lambda *given: summed(*given, **wrong))
    assert not verdict and hint in verdict.message


# -- each known mistake ---------------------------------------------------------------------------


@pytest.mark.parametrize("check", [check_thompson, check_discount, check_propensity])
def test_every_known_mistake_is_refused_with_its_question(check):
    for at, part in enumerate(check.parts):
        for mistake, question in part.mistakes:

            def answer(*case, at=at, mistake=mistake):
                whole = list(check.right(*case))
                whole[at] = mistake(*case, *whole[:at])
                return whole[0] if len(whole) == 1 else whole

            verdict = check(answer)
            assert not verdict and question in verdict.message, question
