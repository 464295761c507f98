"""What notebook `own_data` says of its example."""

from dataclasses import replace
from functools import cache

import numpy as np

import ensemble_lab as lab
from tests.support.claims import Claim, claims_hold, figures_are_claimed

SMALL = ("gemma-2-9b-it", "Meta-Llama-3.1-8B-Instruct", "Mistral-Nemo-Instruct-2407")
MIDDLE, BIG = "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022"


@cache
def example():
    table = lab.load_outcomes("gsm8k-44-llms").select(models=[*SMALL, MIDDLE, BIG])
    price, speed = np.array([0.2, 0.2, 0.2, 0.6, 15.0]), np.array([100, 100, 100, 80, 60])
    return replace(table, cost=table.tokens * price / 1e6, latency=table.tokens / speed)


@cache
def cascade():
    return lab.AgreementCascade((SMALL, (BIG,)), 1.0).decide(example())


def alone(name):
    return lab.MajorityVote().decide(example().select(models=[name]))


def share_of_price():
    return 100 * cascade().mean_cost / alone(BIG).mean_cost


def as_right():
    low, high = np.quantile(resampled(cascade().correct - alone(BIG).correct), (0.025, 0.975))
    return bool(low < 0 < high)


def resampled(gap):
    rng = np.random.default_rng(0)
    return np.array([rng.choice(gap, len(gap)).mean() for _ in range(1000)])


def needed(share, delta=0.03):
    return 7.85 * share / delta**2


def items_for(name):
    right = example().select(models=[name, BIG]).correct
    return np.ceil(needed(np.mean(right[:, 0] != right[:, 1])))


def misleads():
    """Whether a log that sends hard items to the expensive model turns the order round."""
    pair, small = example().select(models=[MIDDLE, BIG]), example().answer[:, :3]
    to_big = np.where((small != small[:, :1]).any(axis=1), 0.9, 0.1)
    turned = []
    for seed in range(20):
        asked = np.random.default_rng(seed).random(len(pair)) < to_big
        turned.append(pair.correct[~asked, 0].mean() > pair.correct[asked, 1].mean())
    middle, big = pair.accuracy()
    return bool(np.mean(turned) > 0.9 and big > middle)


def rows_at_random():
    """How many rows at random are off by as much as 300 weighted ones."""
    table, place = example(), {item: i for i, item in enumerate(example().items.tolist())}
    truth, n, errors = table.accuracy(), len(table), []
    for seed in range(100):
        rows = lab.rows_to_grade(table, 300, seed=seed)
        weight, at = rows["weight"].to_numpy(), [place[item] for item in rows["item"]]
        drawn = np.random.default_rng(seed).permutation(n)[:300]
        weighed = (weight[:, None] * table.correct[at]).sum(axis=0) / n
        errors.append([weighed - truth, table.correct[drawn].mean(axis=0) - truth])
    chosen, random = (np.array(errors) ** 2).mean(axis=(0, 2))
    # The variance at random is in proportion to 1 / rows - 1 / n.
    return 1 / ((1 / 300 - 1 / n) * chosen / random + 1 / n)


@cache
def advice(half):
    """Without a budget, and with half the price of the expensive model."""
    table = lab.Outcomes(
        models=example().models, items=example().items, correct=example().correct,
        answer=example().answer, labels=example().labels, truth=example().truth,
        cost=example().cost, latency=example().latency, tokens=example().tokens,
    )  # fmt: skip
    limits = {"budget": float(table.cost[:, -1].mean()) / 2} if half else {}
    return lab.advise(table, progress=False, **limits)


def families():
    kinds = advice(True).frontier.set_index("candidate")["family"]
    return kinds[advice(True).chosen] == "cascade"


CLAIMS = [
    Claim("300 grades tell as much as about {570} at random", rows_at_random, 40),
    Claim(
        "each of those drawn stands for about six",
        lambda: bool(5.5 < lab.rows_to_grade(example(), 300, seed=0)["weight"].max() < 6.5),
    ),
    Claim(
        "the advice is to ask the expensive model: nothing in the table is more accurate",
        lambda: advice(False).chosen == BIG,
    ),
    Claim("At half the price the cascade is advised", families),
    Claim("the cascade costs {36} % of the price.", share_of_price, 0.5),
    Claim("The two cannot be told apart", as_right),
    Claim(
        "costs a seventh of the cascade, and is {2.5} points less right",
        lambda: 100 * (cascade().accuracy - alone(MIDDLE).accuracy),
        0.05,
    ),
    Claim(
        "costs a seventh of the cascade",
        lambda: bool(6.5 < cascade().mean_cost / alone(MIDDLE).mean_cost < 7.5),
    ),
    Claim(
        "is half as long again as that of the expensive model",
        lambda: bool(1.4 < cascade().mean_latency / alone(BIG).mean_latency < 1.6),
    ),
    Claim("waits {5} seconds or more", lambda: np.quantile(cascade().latency, 0.95), 0.1),
    Claim("The number {7.85} is", lambda: (1.95996 + 0.84162) ** 2, 0.005),
    Claim("The middle model needs {397} items for three points", lambda: items_for(MIDDLE), 1),
    Claim("Mistral-Nemo {1,409}.", lambda: items_for(SMALL[2]), 1),
    Claim("The log says that the cheaper model is the better one. It is not.", misleads),
]
GIVEN = (
    "draws the items again 1,000 times",
    "draw that many items 400 times",
    "at the 5 % level, and a chance of 80 % to see the difference",
    "the share is a little below 80 %",
    "that had a chance of 10 % to be answered",
    "Send a random 5 % of your traffic",
    "send a random 5 % to both models",
    "draws 300 rows 100 times",
    "that of 300 rows at random",
    "With these weighted rows 300 grades",
)

test_claims_hold = claims_hold("own_data", CLAIMS)
test_figures_are_claimed = figures_are_claimed("own_data", CLAIMS, GIVEN)
