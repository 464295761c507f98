"""Fitted classifiers of scikit-learn or torch as callables: item in, `Reply` out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.reply import Reply
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.items import numbers_of, row_of

if TYPE_CHECKING:
    import torch


class Classifier:
    """A fitted classifier that labels one item at a time.

    Parameters
    ----------
    model
        A fitted scikit-learn classifier, or a `torch.nn.Module` from (1, …) to logits (1, k).
        A module is put into evaluation mode, on its device.
    labels
        The k labels of a module's outputs, in order; scikit-learn's classifiers know theirs.
    device, dtype
        For a module: where it computes, and in which number format (by default its own).

    Raises
    ------
    ModelError
        The classifier is not fitted, or is none, or labels are missing; and, of an item, what it
        gives is NaN or infinite.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> x, y = load_iris(return_X_y=True)
    >>> Classifier(LogisticRegression(max_iter=1000).fit(x, y))(x[0]).answer
    0
    """

    def __init__(
        self,
        model: Any,
        labels: Sequence[Hashable] | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ):
        self._predict = (
            _Module(model, labels, device, dtype) if is_module(model) else _Estimator(model, labels)
        )
        self.model = self._predict.model
        self.device = self._predict.device

    def __repr__(self) -> str:
        return f"Classifier({type(self.model).__name__})"

    def __call__(self, item: Any) -> Reply:
        """Label one item, or raise `ModelError` where it is none.

        It is a feature vector, an array, a mapping of features by name, a row of a data frame or
        a frame of one row, or a text where a pipeline takes texts. Features with names go to the
        classifier by name.
        """
        answer, probability = self._predict(item)
        confidence = None if probability is None else probability[answer]
        return Reply(answer=answer, confidence=confidence, probability=probability)


class _Estimator:
    """Label and, where the classifier has `predict_proba`, the probability of every label."""

    def __init__(self, model: Any, labels: Sequence[Hashable] | None):
        from sklearn.base import is_classifier
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        name = type(model).__name__
        # scikit-learn asks its tags, which only an estimator has.
        if not hasattr(model, "predict") or not is_classifier(model):
            raise ModelError(f"{name} is no classifier: give a fitted scikit-learn classifier")
        if labels is not None:
            raise ModelError(f"{name} knows its own labels (classes_): leave labels= out")
        try:
            check_is_fitted(model)
        except NotFittedError as error:
            raise ModelError(f"{name} is not fitted: call {name}.fit(x, y) first") from error
        self.model = model
        self.device = "cpu"

    def __call__(self, item: Any) -> tuple[Hashable, dict[Hashable, float] | None]:
        row = row_of(self.model, item)
        answer = _plain(self.model.predict(row)[0])
        if not hasattr(self.model, "predict_proba"):
            return answer, None
        proba = self.model.predict_proba(row)[0]  # (k,)
        _check_finite(type(self.model).__name__, proba)
        return answer, {
            _plain(c): float(p) for c, p in zip(self.model.classes_, proba, strict=True)
        }


class _Module:
    """Softmax of a module's logits, and the likeliest label."""

    def __init__(
        self,
        model: torch.nn.Module,
        labels: Sequence[Hashable] | None,
        device: str | torch.device | None,
        dtype: str | torch.dtype | None,
    ):
        from ensemble_lab.models.device import pick_device, pick_dtype

        if labels is None:
            raise ModelError(f"{type(model).__name__} needs labels=[...], one for each output")
        self.device = pick_device(device)
        self.labels = [_plain(label) for label in several(labels, "labels")]
        if len(set(self.labels)) < len(self.labels):
            raise ModelError(f"labels={shown(self.labels)} names a label twice; keep one of each")
        wish = None if dtype is None else pick_dtype(self.device, dtype)
        self.model = model.to(device=self.device, dtype=wish).eval()
        first = next(iter(model.parameters()), None)
        self.dtype = wish if first is None else first.dtype
        self.reads_ids = any(map(_may_read_ids, self.model.modules()))

    def __call__(self, item: Any) -> tuple[Hashable, dict[Hashable, float]]:
        import torch

        x = numbers_of(type(self.model).__name__, item)
        x = x if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(x))
        x = x.to(self.device)[None]  # (1, ...)
        # Integers stay integers where they may be token ids for an embedding.
        whole = not x.is_floating_point() and x.dtype != torch.bool
        x = x if self.dtype is None or (whole and self.reads_ids) else x.to(self.dtype)
        with torch.inference_mode():
            logits = self.model(x)  # (1, k)
        if tuple(logits.shape) != (1, len(self.labels)):
            raise ModelError(
                f"{type(self.model).__name__} turned one item of shape {tuple(x.shape[1:])} into "
                f"{tuple(logits.shape)}, but there are {len(self.labels)} labels: it must "
                f"return (1, {len(self.labels)}) logits"
            )
        proba = logits[0].float().softmax(-1).tolist()  # (k,)
        _check_finite(type(self.model).__name__, proba)
        return self.labels[int(np.argmax(proba))], dict(zip(self.labels, proba, strict=True))


def _check_finite(name: str, proba: Sequence[float]) -> None:
    """Raise `ModelError` for probabilities (k,) that are not finite."""
    if not np.isfinite(proba).all():
        raise ModelError(
            f"{name} gives {shown(list(proba), 60)} for this item, which are no probabilities: look"
            " for NaN among its weights and in the item, or compute in dtype='float32'"
        )


def is_module(model: Any) -> bool:
    """Whether this is a torch module, found out without importing torch for those who have none."""
    return any(c.__module__ == "torch.nn.modules.module" for c in type(model).__mro__)


def _may_read_ids(module: torch.nn.Module) -> bool:
    """Whether a module is an embedding, or somebody's own with weights of its own."""
    from torch import nn

    own = any(True for _ in module.parameters(recurse=False))
    theirs = type(module).__module__.startswith("torch.nn.")
    return isinstance(module, nn.Embedding | nn.EmbeddingBag) or (own and not theirs)


def _plain(label: Any) -> Hashable:
    """Return a numpy scalar as Python's own, which JSON can write."""
    return label.item() if isinstance(label, np.generic) else label
