"""What notebook 17 says of stopping, verifiers and members that talk, computed again."""

from functools import cache

import numpy as np

import ensemble_lab as lab
from tests.support.claims import Claim, claims_hold, figures_are_claimed


@cache
def tables():
    """The 43 complete models, and the ten weakest of them."""
    table = lab.load_outcomes("gsm8k-44-llms")
    whole = np.array(table.models)[~table.absent.any(axis=0)].tolist()
    table = table.select(models=whole)
    ranked = np.argsort(table.accuracy(), kind="stable")
    return table, table.select(models=[whole[i] for i in ranked[:10]])


@cache
def stopped(which):
    return lab.replay_stopping(tables()[which], 0.95, 5, 0)


def keeps_the_answer():
    return bool(stopped(0).same.mean() > 0.998)


def fewer_than_seven():
    return bool(stopped(1).asked.mean() < 7)


def fifty_one_beats_one():
    many = lab.load_outcomes("mmlu-pro-29-llms")
    curve = lab.replay_calls(many, [1, 51], draws=5, again=True, seed=0)
    subject = np.asarray(many.group)
    pairs = [np.nanmean(curve[:, :, subject == s], axis=(0, 2)) for s in set(subject)]
    return bool(len(pairs) == 14 and all(one < vote for one, vote in pairs))


@cache
def solutions():
    return lab.load_solutions("humaneval-codegen-16b")


def percent(chosen):
    return 100 * solutions().accuracy(chosen).mean()


def best_of(n):
    return percent(lab.best_of_n(solutions().passed(), n))


@cache
def talked(kept, committee):
    """Shares in percent of right answers and of 999."""
    said = lab.load_texts("smollm2-committee")
    transcript = lab.Transcript.from_frame(said[said.committee.isin(["alone", kept])])
    truth = dict(zip(said.item, said.truth, strict=True))
    answers = {item: str(committee.ask(item, transcript).answer) for item in truth}
    right = np.mean([answers[i] == truth[i] for i in truth])
    return 100 * right, 100 * np.mean([one == "999" for one in answers.values()])


SAMPLES = tuple(f"#{i}" for i in range(6))


def greedy():
    return talked("alone", lab.Debate(("greedy",), rounds=0))[0]


def five():
    return talked("alone", lab.Debate(SAMPLES[:5], rounds=0))[0]


def committees_lose():
    others = [
        talked("debate", lab.Debate(SAMPLES[:3], rounds=1)),
        talked("self-moa", lab.MixtureOfAgents(SAMPLES[1:5], None)),
        talked("rank-and-fuse", lab.RankAndFuse(SAMPLES[:3], ("judge",), None)),
    ]
    return all(bool(right < greedy()) for right, _ in others)


def injected():
    return talked("injected", lab.MixtureOfAgents((*SAMPLES[:3], "injected"), None))[1]


CLAIMS = [
    Claim("keeps the answer of all 43 on more than 99.8 % of the questions", keeps_the_answer),
    Claim("asks {6.6} models", lambda: stopped(0).asked.mean(), 0.05),
    Claim("is right on {96.66} %", lambda: 100 * tables()[0].accuracy().max(), 0.005),
    Claim("the best of the ten weakest is right on {81.7} %, adaptive stopping on {91.8} %",
          lambda: (100 * tables()[1].accuracy().max(), 100 * stopped(1).correct.mean()), 0.05),
    Claim("for fewer than seven calls", fewer_than_seven),
    Claim("The vote of 51 is above that of one call in every subject.", fifty_one_beats_one),
    Claim("about {70} % of them are wrong", lambda: 100 * (~solutions().true).mean(), 0.5),
    Claim("rises to {30.4} % at five samples, and falls to {21.2} % at a hundred",
          lambda: (best_of(5), best_of(100)), 0.05),
    Claim("one sample alone is right on {22.1} %", lambda: 100 * solutions().correct.mean(), 0.05),
    Claim("It is right on {37.2} %, the largest group alone on {26.2} %",
          lambda: (percent(lab.dual_agreement(solutions())),
                   percent(lab.largest_group(solutions()))), 0.05),
    Claim("The single greedy answer is right on {53} %", greedy, 0.5),
    Claim("The vote of five samples reaches {46} %", five, 0.5),
    Claim("They were right less often than the greedy answer of one.", committees_lose),
    Claim("{19} % of the fused answers are 999", injected, 0.5),
]  # fmt: skip
GIVEN = []

test_claims_hold = claims_hold("17_committees", CLAIMS)
test_figures_are_claimed = figures_are_claimed("17_committees", CLAIMS, GIVEN)
