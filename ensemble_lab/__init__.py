"""ensemble_lab: learn, measure and reuse every way of making several AI models work together.

>>> import ensemble_lab as lab
>>> outcomes = lab.load_outcomes("audiomnist-services")

The public names are those of the levels, listed once, in each level's stub. They are loaded at
their first use, so that the import takes almost no time.
"""

from importlib import import_module

__version__ = "1.0.0"

LEVELS = (
    "core", "instruments", "models", "answers", "tokens", "training", "systems", "explorers",
    "advice",
)  # fmt: skip
SUBMODULES = (*LEVELS, "catalogue", "doctor", "exercises", "widgets")
CATALOGUE = (
    "data_folder", "describe", "load_curves", "load_outcomes", "load_texts", "load_trace",
    "outcomes_catalogue",
)  # fmt: skip


_HOMES: dict[str, str] = {}  # filled at first use; functools would take half of the import's time


def _home() -> dict[str, str]:
    """Public name to the level that has it. Reading the stubs takes longer than the import."""
    if not _HOMES:
        levels = {level: import_module(f".{level}", __name__).__all__ for level in LEVELS}
        _HOMES.update({name: level for level, names in levels.items() for name in names})
        _HOMES.update(dict.fromkeys(CATALOGUE, "catalogue"))
    return _HOMES


def __getattr__(name: str):
    if name == "__all__":
        return sorted(_home())
    if name in SUBMODULES:
        return import_module(f".{name}", __name__)
    if not name.startswith("_") and name in _home():
        value = getattr(import_module(f".{_home()[name]}", __name__), name)
        globals()[name] = value
        return value
    from ensemble_lab.core.errors import shown

    raise AttributeError(f"module ensemble_lab has no attribute {shown(name)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_home(), *SUBMODULES})
