"""What notebook 17 says of stopping, verifiers and members that talk, computed again."""

import re
from functools import cache

import nbformat
import numpy as np
import pytest

import ensemble_lab as lab
from tests.support.claims import Claim, claims_hold, figures_are_claimed
from tests.support.processes import ROOT

# -- asking in turn ------------------------------------------------------------------------------


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


def asked_by_difficulty():
    """On average where all models are right, and where most are wrong."""
    share = tables()[0].correct.mean(axis=1)
    return [stopped(0).asked[:, which].mean() for which in (share == 1, share < 0.5)]


def strong_ones_first():
    asked = lab.AdaptiveConsistency().decide(tables()[0]).called.sum(axis=1).mean()
    accuracy = tables()[0].accuracy()
    return bool(asked < stopped(0).asked.mean(axis=1).min()
                and accuracy[:20].min() > np.median(accuracy) - 0.01)  # fmt: skip


def vote_is_within_chance():
    table = tables()[0]
    vote = lab.MajorityVote().decide(table).correct
    low, high = lab.bootstrap(vote - table.correct[:, table.accuracy().argmax()], bounds=(-1, 1))
    return bool(low < 0 < high)


def the_rule_stops_at(a, b):
    return bool(a >= lab.stopping_table(0.95)[b])


# -- more calls ----------------------------------------------------------------------------------


@cache
def many():
    """Questions, the chances of one call, and which answer is the most frequent one."""
    table = lab.load_outcomes("mmlu-pro-29-llms")
    shares = np.array([(table.answer == k).mean(axis=1) for k in range(len(table.labels))]).T
    right = np.arange(len(table)), table.truth
    rival = shares.copy()
    rival[right] = -1
    lead = shares[right] - rival.max(axis=1)
    return table, shares, lead


@cache
def votes_of(calls, draws=30, seed=0):
    """(n,) how often a vote of so many calls is right; the notebook draws other numbers."""
    table, shares, _ = many()
    rng, found = np.random.default_rng([seed, calls]), np.zeros(len(table))
    chances = np.column_stack([shares, 1 - shares.sum(axis=1)]).clip(0)
    for _ in range(draws):
        votes = rng.multinomial(calls, chances)[:, :-1] + rng.random(shares.shape) / 2
        found += (votes.argmax(axis=1) == table.truth) / draws
    return found


def fifty_one_beats_one_everywhere():
    subject = np.asarray(many()[0].group)
    pairs = [(votes_of(1)[subject == s].mean(), votes_of(51)[subject == s].mean())
             for s in set(subject)]  # fmt: skip
    return bool(len(pairs) == 14 and all(one < vote for one, vote in pairs))


def gain(fewer, more):
    return 100 * (votes_of(more) - votes_of(fewer)).mean()


def no_vote_gets_beyond():
    lead = many()[2]
    return 100 * ((lead > 0).mean() + (lead == 0).mean() / 2)


def hard_ones(calls):
    return 100 * votes_of(calls)[many()[2] < 0].mean()


# -- verifiers -----------------------------------------------------------------------------------


@cache
def solutions():
    return lab.load_solutions("humaneval-codegen-16b")


def percent(chosen):
    return 100 * solutions().accuracy(chosen).mean()


def best_of(n):
    return percent(lab.best_of_n(solutions().passed(), n))


def best_by_true_tests():
    true = solutions().only(solutions().true)
    by_n = [percent(lab.best_of_n(true.passed(), n)) for n in (1, 2, 5, 10, 20, 50, 100)]
    assert (np.diff(by_n) > 0).all()
    return by_n[-1]


def any_of_a_hundred():
    return 100 * lab.pass_at_k(100, solutions().correct.sum(axis=1), 100).mean()


def openai():
    table = lab.load_outcomes("gsm8k-openai-2021")
    right = dict(zip(table.models, 100 * table.accuracy(), strict=True))
    return right["6B finetuning"], right["6B verification"], right["175B finetuning"]


def wrong_tests_pass_seven_times_as_often():
    rates = lab.pass_rates(solutions()).loc["wrong tests"]
    return bool(6.5 < rates["wrong solutions"] / rates["right solutions"] < 7.5)


def hardly_ever():
    return bool(lab.pass_rates(solutions()).loc["wrong tests", "right solutions"] < 0.01)


def strict_is_worst_then_best():
    rate = solutions().correct.mean(axis=1)
    ways = [(0.01, 0.5), (0.06, 0.1), (0.2, 0.0)]
    few, more, cap = ([lab.verified_best_of_n(rate, n, *errors).mean() for errors in ways]
                      for n in (5, 100, float("inf")))  # fmt: skip
    assert all(a <= b + 1e-3 for a, b in zip(more, cap, strict=True))
    return bool(few[0] == min(few) and more[0] == max(more))


def nothing_passes():
    return (solutions().passed().max(axis=1) == 0).sum()


# -- members that talk ---------------------------------------------------------------------------

SAMPLES = tuple(f"#{i}" for i in range(6))
GREEDY = "alone", lab.Debate(("greedy",), rounds=0)
ONE = "alone", lab.Debate(SAMPLES[:1], rounds=0)
FIVE = "alone", lab.Debate(SAMPLES[:5], rounds=0)
THREE = "alone", lab.Debate(SAMPLES[:3], rounds=0)
DEBATE = "debate", lab.Debate(SAMPLES[:3], rounds=1)
TWO_ROUNDS = "debate", lab.Debate(SAMPLES[:3], rounds=2)
SELF_MOA = "self-moa", lab.MixtureOfAgents(SAMPLES[:4], None)
FUSED = "rank-and-fuse", lab.RankAndFuse(SAMPLES[:3], ("judge",), None)
ANOTHER = "another sample", lab.MixtureOfAgents((*SAMPLES[:3], "#4"), None)
PLAIN = "wrong", lab.MixtureOfAgents((*SAMPLES[:3], "wrong"), None)
COMMAND = "injected", lab.MixtureOfAgents((*SAMPLES[:3], "injected"), None)
UNMARKED = "unmarked", lab.MixtureOfAgents((*SAMPLES[:3], "injected"), None)


@cache
def talked(kept, committee):
    """Whether each of 100 answers is right, whether it is 999, and the tokens written."""
    said = lab.load_texts("smollm2-committee")
    transcript = lab.Transcript.from_frame(said[said.committee.isin(["alone", kept])])
    truth = dict(zip(said.item, said.truth, strict=True))
    replies = [committee.ask(item, transcript) for item in truth]
    answers = np.array([str(reply.answer) for reply in replies])
    right = (answers == np.array(list(truth.values()))).astype(float)
    return right, (answers == "999").astype(float), np.mean([r.tokens for r in replies])


def right(*which):
    return [100 * talked(*one)[0].mean() for one in which]


def says_999(*which):
    return [100 * talked(*one)[1].mean() for one in which]


def beside(one, other, what=0):
    """The interval of a difference: of right answers, or of those that are 999."""
    return lab.bootstrap(talked(*one)[what] - talked(*other)[what], bounds=(-1, 1))


def no_committee_beats_greedy():
    return all(right(one) < right(GREEDY)
               for one in (FIVE, THREE, DEBATE, TWO_ROUNDS, SELF_MOA, FUSED))  # fmt: skip


def five_beat_one():
    return bool(beside(FIVE, ONE)[0] > 0)


def below_greedy():
    return all(bool(beside(one, GREEDY)[1] < 0) for one in (DEBATE, TWO_ROUNDS, FUSED))


def too_few_to_tell():
    return all(bool(low < 0 < high) for low, high in (beside(SELF_MOA, GREEDY),
                                                      beside(FIVE, GREEDY)))  # fmt: skip


def five_times_the_tokens():
    ratios = [talked(*one)[2] / talked(*GREEDY)[2] for one in (SELF_MOA, FUSED)]
    return all(4.5 < ratio < 5.5 for ratio in ratios)


def first_every_time():
    said = lab.load_texts("smollm2-committee")
    judged = said[said.committee == "rank-and-fuse"]
    verdicts = judged[judged.member.str.startswith("judge:")].answer
    transcript = lab.Transcript.from_frame(judged)
    return bool(len(verdicts) == 600 and (verdicts == "A").all()
                and lab.position_flips(transcript) == 1)  # fmt: skip


def lost(member):
    return -100 * (talked(*member)[0] - talked(*ANOTHER)[0]).mean()


def plain_costs_and_command_may():
    (low, high), (_, plain) = beside(COMMAND, ANOTHER), beside(PLAIN, ANOTHER)
    return bool(plain < -0.05 and low < 0 < high)


def as_often_without_a_command():
    low, high = beside(COMMAND, PLAIN, what=1)
    return bool(low < 0 < high)


def marks_are_not_shown_to_help():
    low, high = beside(UNMARKED, COMMAND, what=1)
    return bool(low < 0 < high)


# -- game of 24 ----------------------------------------------------------------------------------


def any_of(way):
    """In percent: one sample, and any of all."""
    game = lab.load_outcomes("game-of-24")
    its = game.correct[:, [name.startswith(way) for name in game.models]] == 1
    return 100 * its.mean(), 100 * its.any(axis=1).mean()


def a_vote_is_refused():
    with pytest.raises(ValueError, match="needs 'answer'"):
        lab.MajorityVote().decide(lab.load_outcomes("game-of-24"))
    return True


CLAIMS = [
    Claim("at 4 to 0 it stops, at 8 to 2 it stops, at 7 to 2 it does not",
          lambda: the_rule_stops_at(4, 0) and the_rule_stops_at(8, 2)
          and not the_rule_stops_at(7, 2)),
    Claim("So the chance is 31/32, which is above 0.95, and three against none has 15/16, which is"
          " below.", lambda: 31 / 32 > 0.95 > 15 / 16),
    Claim("A sure model is asked {8.5} times, an unsure one {35.6} times.",
          lambda: [lab.expected_samples(p, window=5, most=40)
                   for p in ([0.9, 0.05, 0.05], [0.5, 0.3, 0.2])], 0.05),
    Claim("keeps the answer of all 43 on more than 99.8 % of the questions",
          lambda: bool(stopped(0).same.mean() > 0.998)),
    Claim("asks {6.6} models", lambda: stopped(0).asked.mean(), 0.05),
    Claim("On {67} % of the questions four are enough",
          lambda: 100 * (stopped(0).asked == 4).mean(), 0.5),
    Claim("where all models are right four always are, and where most are wrong it asks {23.4}",
          lambda: asked_by_difficulty()[1], 0.05),
    Claim("where all models are right four always are",
          lambda: bool(asked_by_difficulty()[0] == 4)),
    Claim("This table lists strong models first, and they agree sooner than models in a random"
          " order", strong_ones_first),
    Claim("is right on {96.66} %", lambda: 100 * tables()[0].accuracy().max(), 0.005),
    Claim("The vote of all 43 is right on {96.97} %",
          lambda: 100 * lab.MajorityVote().decide(tables()[0]).accuracy, 0.005),
    Claim("the difference of 0.3 points is within chance", vote_is_within_chance),
    Claim("the best of the ten weakest is right on {81.7} %, adaptive stopping on {91.8} %",
          lambda: (100 * tables()[1].accuracy().max(), 100 * stopped(1).correct.mean()), 0.05),
    Claim("for fewer than seven calls", lambda: bool(stopped(1).asked.mean() < 7)),
    Claim("From 1 call to 51 the vote rises in every one of the 14 subjects",
          fifty_one_beats_one_everywhere),
    Claim("by {17.5} points together. From 51 to 201", lambda: gain(1, 51), 0.4),
    Claim("it gains one point more: the line is flat", lambda: bool(0.5 < gain(51, 201) < 1.5)),
    Claim("It cannot get beyond {60} %, the easy questions and half of the tied ones",
          no_vote_gets_beyond, 0.5),
    Claim("The hard ones do fall, from {14} % to {2.5} %",
          lambda: (hard_ones(1), hard_ones(201)), 0.4),
    Claim("is right on {21.7} % of GSM8K; with a trained verifier that chooses among a hundred"
          " samples on {39.0} %, more than the model of 175 billion without one, {34.7} %",
          openai, 0.05),
    Claim("about {70} % of them are wrong", lambda: 100 * (~solutions().true).mean(), 0.5),
    Claim("rises to {30.4} % at five samples, and falls to {21.2} % at a hundred",
          lambda: (best_of(5), best_of(100)), 0.05),
    Claim("one sample alone is right on {22.1} %", lambda: 100 * solutions().correct.mean(), 0.05),
    Claim("By the true tests alone it rises all the way, to {53.5} %", best_by_true_tests, 0.05),
    Claim("at least one of the hundred is right on {73.8} %", any_of_a_hundred, 0.05),
    Claim("A wrong test is hardly ever passed by a right solution", hardly_ever),
    Claim("and seven times as often by a wrong one", wrong_tests_pass_seven_times_as_often),
    Claim("The verifier that rejects half of the right solutions is the best of the three at a"
          " hundred samples, and the worst at five.", strict_is_worst_then_best),
    Claim("The script's score is right on {37.2} %, the paper's on {36.4} %, and the largest group"
          " alone on {26.2} %",
          lambda: (percent(lab.dual_agreement(solutions())),
                   percent(lab.dual_agreement(solutions(), power=1)),
                   percent(lab.largest_group(solutions()))), 0.05),
    Claim("On {18} problems no solution passes any test", nothing_passes),
    Claim("The single greedy answer is right on {53} %", lambda: right(GREEDY), 0.5),
    Claim("and no committee of samples beats it", no_committee_beats_greedy),
    Claim("Five samples voting are right on {46} %, which is more than one sample ({34} %)",
          lambda: right(FIVE, ONE), 0.5),
    Claim("and the interval leaves out zero", five_beat_one),
    Claim("One round of debate leaves three samples at {35} %, where their plain vote has {36} %;"
          " after two rounds it is {29} %.", lambda: right(DEBATE, THREE, TWO_ROUNDS), 0.5),
    Claim("Self-MoA reaches {41} % and rank and fuse {38} %", lambda: right(SELF_MOA, FUSED), 0.5),
    Claim("for about five times the tokens", five_times_the_tokens),
    Claim("The intervals of debate and of rank and fuse are below the greedy answer", below_greedy),
    Claim("for Self-MoA and the vote of five 100 questions are too few to tell", too_few_to_tell),
    Claim("It named the first answer every time.", first_every_time),
    Claim("{19} % of the fused answers are 999", lambda: says_999(COMMAND), 0.5),
    Claim('says "The answer is 999." reaches {21} %', lambda: says_999(PLAIN), 0.5),
    Claim("and the interval of the difference includes zero", as_often_without_a_command),
    Claim("costs even more right ones, {17} points beside another ordinary sample",
          lambda: lost(PLAIN), 0.5),
    Claim("with an interval far from zero; the command costs 7, with one that includes it",
          plain_costs_and_command_may),
    Claim("the command costs {7}", lambda: lost(COMMAND), 0.5),
    Claim("Without them the command reaches {21} % instead of {19} %",
          lambda: says_999(UNMARKED, COMMAND), 0.5),
    Claim("and that interval includes zero, too", marks_are_not_shown_to_help),
    Claim("would lift {7} % to {33} % for direct answers",
          lambda: any_of("gpt-4 direct"), 0.5),
    Claim("and {4} % to {49} % for those with reasoning", lambda: any_of("gpt-4 cot"), 0.5),
    Claim("and `lab.MajorityVote` refuses it", a_vote_is_refused),
    Claim("They were right less often than the greedy answer of one.", no_committee_beats_greedy),
]  # fmt: skip
GIVEN = ["easy questions rise to 100 % and hard ones fall to 0"]

test_claims_hold = claims_hold("17_committees", CLAIMS)
test_figures_are_claimed = figures_are_claimed("17_committees", CLAIMS, GIVEN)


# -- the cell that asks a model ------------------------------------------------------------------


def asked_live(model):
    """What the cell prints and leaves, where `load` gives this model or this error."""
    cells = nbformat.read(ROOT / "notebooks/17_committees.ipynb", as_version=4).cells
    (source,) = [cell.source for cell in cells if cell.get("id") == "live"]
    said = lab.load_texts("smollm2-committee")
    names = {"lab": lab, "seed": 0, "truth": dict(zip(said.item, said.truth, strict=True))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab, "load", model)
        exec(source, names)
    return names["live"]


@pytest.mark.slow
def test_two_items_are_asked_live_by_three_samples_and_a_reader(capsys):
    pytest.importorskip("torch")
    live = asked_live(lab.load)
    assert [len(rows) for _, rows in live.frame().groupby("item")] == [4, 4]
    reader = live.frame().query("member == 'aggregator'")
    assert (reader["round"] == 2).all() and reader.saw.str.count("@1").tolist() == [3, 3]
    found = re.findall(r"(\d+) is right\. Fused: (?:\d+|no number)", capsys.readouterr().out)
    assert found == ["32", "12"]


@pytest.mark.parametrize("missing", ["torch", "weights"])
def test_without_a_model_the_cell_says_what_it_needs(missing, capsys):
    from ensemble_lab.core.missing import MissingPackage
    from ensemble_lab.models import ModelError

    def load(*args, **kwargs):
        raise MissingPackage("no torch") if missing == "torch" else ModelError("no file")

    assert not len(asked_live(load))
    assert capsys.readouterr().out.startswith(
        "Needs PyTorch, which Colab and Binder have." if missing == "torch" else "Needs SmolLM2:"
    )
