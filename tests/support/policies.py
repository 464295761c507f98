"""One instance of every policy, for the properties that all of them must have."""

import inspect

import ensemble_lab as lab
from ensemble_lab.core.policy import Policy


def every_policy(models, labels):
    """Policies over at least three models with features, fitted ones excepted."""
    a, b, *rest = models
    by_label = {label: 0.2 + 0.6 * (i % 2) for i, label in enumerate(labels)}
    return [
        lab.MajorityVote(),
        lab.MajorityVote((b, a)),
        lab.WeightedVote(weights={name: j - 0.5 for j, name in enumerate(models)}),
        lab.MeanVote(),
        lab.MeanVote(weights={name: j + 0.5 for j, name in enumerate(models)}),
        lab.ProductVote(),
        lab.MaxVote(),
        lab.MinVote(),
        lab.MedianVote(),
        lab.RankVote(),
        lab.Cascade((a,)),
        lab.Cascade((b, a), (0.5,)),
        lab.Cascade((a, b, rest[0]), (0.7, by_label)),
        lab.Cascade((a, b), (0.9,), abstain=(0.3, 0.1)),
        lab.CombiningCascade((b, a), (0.5,)),
        lab.CombiningCascade((a, b, rest[0]), (0.7, by_label), {a: 0.5}),
        lab.AgreementCascade(((a, b), tuple(rest))),
        lab.AgreementCascade(((a, b), tuple(rest)), agreement=0.5),
        lab.HeuristicSelector(a, b, "length", 250.0),
        lab.AdaptiveConsistency(),
        lab.AdaptiveConsistency((b, a, *rest), threshold=0.7),
        lab.EarlyStopping(window=2),
        lab.EarlyStopping((b, a)),
        lab.BestOfN(),
        lab.BestOfN((b, a)),
        lab.WeightedBestOfN(),
    ]


def learning_policies(models, budget=1.0):
    """Policies whose `fit` has something to learn."""
    a, b, *_ = models
    return [
        lab.MajorityVote(),
        lab.WeightedVote(),
        lab.LearnedSelector(a, b),
        lab.BudgetCascade(budget),
        lab.BudgetCascade(budget, per_label=True),
        lab.StackedAnswers(),
        lab.RandomRouter(),
        lab.LengthRouter(feature="length"),
        lab.GroupRouter(cost_weight=0.25),
        lab.ClusterRouter(clusters=3),
        lab.QualityRouter(),
        lab.GapRouter(cost_weight=0.25),
        lab.FactorRouter(rank=2),
        lab.NeighbourRouter(3, groups=True),
        lab.SimilarityRouter(),
        lab.EloRouter(2),
        lab.DynamicSelection(neighbours=2),
        lab.LabelRouter(first=b),
        lab.BudgetRouter(budget),
        lab.SubsetRouter(2),
        lab.CachedRouter(radius=0.0),
        lab.AdaptiveConsistency(),
        lab.ChainEnsemble((b, a)),
    ]


def bandits():
    """One instance of every bandit; items have `length` and a group, "law" or "math"."""
    return [
        lab.EpsilonGreedy(),
        lab.UCB1(scale=0.3),
        lab.Thompson(),
        lab.Thompson(discount=0.98),
        lab.Thompson(window=60),
        lab.Thompson(by="group", strength=20.0),
        lab.LinUCB(features=("length",), groups=("law", "math")),
        lab.LinUCB(),
        lab.LinThompson(features=("length",), groups=("law",)),
    ]


def budget_bandits():
    """Bandits that need prices; those of the items above are about 0.1 to 0.3 USD."""
    return [
        lab.BudgetBandit(budget=90.0, horizon=200),
        lab.BudgetBandit(budget=200.0, horizon=300, of=lab.UCB1(scale=0.3)),
        lab.BudgetBandit(90.0, 200, lab.LinUCB(features=("length",), groups=("law", "math"))),
        lab.CombinatorialBandit("any", size=2, budget=0.4),
        lab.CombinatorialBandit("sum", size=2, budget=0.5, of=lab.LinThompson()),
        lab.CombinatorialBandit("all", size=1, budget=0.3, of=lab.UCB1(scale=0.3)),
    ]


def names_of_all_policies():
    """Every concrete policy that the package exports."""
    exported = (getattr(lab, name) for name in lab.__all__)
    classes = [value for value in exported if inspect.isclass(value)]
    return {c.__name__ for c in classes if issubclass(c, Policy) and not inspect.isabstract(c)}
