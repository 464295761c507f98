"""ensemble_lab: learn, measure and reuse every way of making several AI models work together.

>>> import ensemble_lab as lab
>>> outcomes = lab.load_outcomes("audiomnist-services")

Public names load when they are first used, so that importing costs next to nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "answers",
        "catalogue",
        "core",
        "exercises",
        "instruments",
        "models",
        "tokens",
        "training",
        "widgets",
    ],
    submod_attrs={
        "answers": [
            "AgreementCascade",
            "BudgetCascade",
            "Calibration",
            "Cascade",
            "HeuristicSelector",
            "LearnedSelector",
            "MajorityVote",
            "MaxVote",
            "MeanVote",
            "MedianVote",
            "MinVote",
            "ProductVote",
            "RankVote",
            "WeightedVote",
            "ambiguity",
            "condorcet",
            "disagreement",
            "error_correlation",
            "mean_pairwise",
            "q_statistic",
        ],
        "catalogue": ["load_outcomes", "outcomes_catalogue"],
        "core.decision": ["Choice", "Decision"],
        "core.frontier": ["frontier"],
        "core.intervals": ["bootstrap", "wilson"],
        "core.outcomes": ["ABSENT", "UNPARSED", "Outcomes"],
        "core.policy": ["Policy"],
        "core.reply": ["Reply"],
        "instruments": ["Meter"],
        "models": ["load", "record", "run"],
        "tokens.decode": ["decode", "stream"],
        "training": [
            "AdaBoostClassifier",
            "BaggingClassifier",
            "BaggingRegressor",
            "GradientBoostingClassifier",
            "GradientBoostingRegressor",
            "NegativeCorrelationClassifier",
            "NegativeCorrelationRegressor",
            "NetworkClassifier",
            "NetworkRegressor",
            "SnapshotEnsemble",
            "StackedAnswers",
            "StackingClassifier",
            "StackingRegressor",
            "train_members",
        ],
        "widgets": ["explore"],
    },
)
