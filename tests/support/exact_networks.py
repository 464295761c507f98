"""Networks in float64: what must be equal to 1e-7 is not equal in float32 on every processor.

There the sum of a row depends on the rows beside it: kernels for matrices take rows in blocks.
"""

from ensemble_lab.training.networks import NetworkClassifier, NetworkRegressor

# Few large steps, for scikit-learn's checks: they fit about a hundred times, and ask for little.
QUICK = {"epochs": 10, "batch_size": 128, "learning_rate": 0.1, "device": "cpu"}


class ExactClassifier(NetworkClassifier):
    def train(self, *args, **how):
        return super().train(*args, dtype="float64", **how)


class ExactRegressor(NetworkRegressor):
    def train(self, *args, **how):
        return super().train(*args, dtype="float64", **how)
