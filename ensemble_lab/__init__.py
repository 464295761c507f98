"""ensemble_lab: learn, measure and reuse every way of making several AI models work together.

>>> import ensemble_lab as lab
>>> outcomes = lab.load_outcomes("audiomnist-services")

The public names are those of the levels, which are listed once, in the stub beside each level.
They load when they are first used, so that importing costs next to nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

LEVELS = ("core", "instruments", "models", "answers", "tokens", "training", "explorers")
SUBMODULES = (*LEVELS, "catalogue", "doctor", "exercises", "widgets")

_home = {name: level for level in LEVELS for name in import_module(f".{level}", __name__).__all__}
_home |= dict.fromkeys(
    ("data_folder", "describe", "load_outcomes", "outcomes_catalogue"), "catalogue"
)
__all__ = sorted(_home)


def __getattr__(name: str):
    if name in _home:
        value = getattr(import_module(f".{_home[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in SUBMODULES:
        return import_module(f".{name}", __name__)
    from ensemble_lab.core.errors import shown

    raise AttributeError(f"module ensemble_lab has no attribute {shown(name)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *SUBMODULES})
