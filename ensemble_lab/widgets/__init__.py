"""Explorers: pictures with something to drag, shown live where that works and still elsewhere."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "controls": ["Control", "choice", "controls_of", "many", "steps"],
        "explore": ["explore"],
        "explorer": ["Explorer", "Picture"],
        "predict": ["Predict"],
        "predict_curve": ["PredictCurve"],
    },
)
