"""Whole answers are combined, or one model is chosen to answer: votes, cascades, big-little."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "budget": ["BudgetCascade"],
        "calibration": ["Calibration"],
        "cascade": ["AgreementCascade", "Cascade"],
        "diversity": [
            "ambiguity",
            "condorcet",
            "disagreement",
            "error_correlation",
            "mean_pairwise",
            "q_statistic",
        ],
        "selectors": ["HeuristicSelector", "LearnedSelector"],
        "voting": [
            "MajorityVote",
            "MaxVote",
            "MeanVote",
            "MedianVote",
            "MinVote",
            "ProductVote",
            "RankVote",
            "WeightedVote",
        ],
    },
)
