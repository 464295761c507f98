"""Networks in float64: what must be equal to 1e-7 is not equal in float32 on every processor.

There the sum of a row depends on the rows beside it: kernels for matrices take rows in blocks.
"""

from ensemble_lab.training.networks import NetworkClassifier, NetworkRegressor


class ExactClassifier(NetworkClassifier):
    def train(self, *args, **how):
        return super().train(*args, dtype="float64", **how)


class ExactRegressor(NetworkRegressor):
    def train(self, *args, **how):
        return super().train(*args, dtype="float64", **how)
