"""Public names are listed once, and editors complete them without running anything."""

import ast
from importlib import import_module
from pathlib import Path

import jedi
import pytest

import ensemble_lab as lab

PACKAGE = Path(lab.__file__).parent


def listed(stub):
    """The names that a stub brings under their own name."""
    tree = ast.parse(stub.read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [one.name for node in imports for one in node.names if one.asname == one.name]


@pytest.mark.parametrize("level", [*lab.LEVELS, "widgets"])
def test_a_level_offers_what_its_stub_lists_and_all_of_it_is_there(level):
    module = import_module(f"ensemble_lab.{level}")
    names = listed(PACKAGE / level / "__init__.pyi")
    assert sorted(module.__all__) == sorted(set(names)) and len(names) == len(set(names))
    assert all(hasattr(module, name) for name in names)


def test_no_name_stands_on_two_levels():
    names = [
        name for level in lab.LEVELS for name in import_module(f"ensemble_lab.{level}").__all__
    ]
    assert len(names) == len(set(names))


def test_the_top_level_stub_takes_every_level():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    stars = [
        n.module for n in tree.body if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"
    ]
    assert sorted(stars) == sorted(lab.LEVELS)
    modules = {n.names[0].name for n in tree.body if isinstance(n, ast.ImportFrom) and not n.module}
    assert modules == set(lab.SUBMODULES)


@pytest.mark.parametrize(
    ("begun", "completed"),
    [
        ("lab.Maj", "MajorityVote"),
        ("lab.load_o", "load_outcomes"),
        ("lab.FollowThe", "FollowTheLeader"),
        ("lab.tokens.best_g", "best_gamma"),
        ("lab.widgets.Predict", "PredictCurve"),
        ("lab.Cascade((), ()).dec", "decide"),
    ],
)
def test_an_editor_completes_it(begun, completed):
    script = jedi.Script(f"import ensemble_lab as lab\n{begun}")
    assert completed in {found.name for found in script.complete(2, len(begun))}


def test_a_wrong_name_is_said():
    with pytest.raises(AttributeError, match="ensemble_lab has no attribute 'MajorityVot'"):
        _ = lab.MajorityVot
