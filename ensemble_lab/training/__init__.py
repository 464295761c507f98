"""Models that meet while they learn: bagging, boosting, stacking, negative correlation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adaboost": ["AdaBoostClassifier"],
        "ambiguity": ["ambiguity_decomposition", "optimal_weights"],
        "bagging": ["BaggingClassifier", "BaggingRegressor", "variance_of_mean"],
        "gradient_boosting": ["GradientBoostingClassifier", "GradientBoostingRegressor"],
        "negative_correlation": [
            "NegativeCorrelationClassifier",
            "NegativeCorrelationRegressor",
        ],
        "networks": ["NetworkClassifier", "NetworkRegressor"],
        "snapshot": ["SnapshotEnsemble"],
        "stacked_outcomes": ["StackedAnswers"],
        "stacking": ["StackingClassifier", "StackingRegressor"],
        "super_learner": ["ConvexWeightsClassifier", "ConvexWeightsRegressor"],
        "trainer": ["train_members"],
    },
)
