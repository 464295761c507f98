"""What the package found, held against the oracle."""

from __future__ import annotations

import math

from ensemble_lab import ABSENT, UNPARSED
from tests.contracts.plain import MEASURES, Table, fact_of_text, number, same

CLOSE = 1e-9


def close(found, true) -> bool:
    """Within 1e-9 of a fraction, NaN for None."""
    found = float(found)
    if true is None:
        return math.isnan(found)
    return math.isclose(found, float(true), rel_tol=CLOSE, abs_tol=1e-12)


def alike(found, true) -> bool:
    """One answer: None is none."""
    if found is None or true is None:
        return found is None and true is None
    return same(found, true)


def labels_at(table, codes, text: bool = False) -> list:
    """Labels of codes; of a text file in their spelling, as everything else there."""
    labels = [str(label) if text else label for label in table.labels]
    return [labels[code] if code >= 0 else None for code in codes]


def check_table(found, true: Table, text: bool) -> None:
    """`found` holds what `true` says, every cell of it, and nothing else."""
    assert sorted(found.models) == sorted(map(str, true.models))
    names = found.items.tolist()
    if text:
        names = [str(name) for name in names]
    assert len(names) == len(true.items)
    for name in true.items:
        assert name in names and type(names[names.index(name)]) is type(name), (name, names)
    labels = [str(label) if text else label for label in found.labels]
    column = {name: found.models.index(str(name)) for name in true.models}
    row = {name: names.index(name) for name in true.items}
    for item in true.items:
        for model in true.models:
            at = row[item], column[model]
            where = f"item {item!r}, model {model!r}"
            there = true.row(item, model)
            assert close(found.correct[at], true.correct(item, model)), f"correct of {where}"
            if true.answers:
                code = found.answer[at]
                if there is None:
                    assert code == ABSENT, where
                elif there["answer"] is None:
                    assert code == UNPARSED, where
                else:
                    assert same(labels[code], there["answer"]), where
                    value = number(there["answer"]) if text else None
                    if value is not None and value.denominator == 1:
                        label = found.labels[code]
                        assert label == value, f"{label!r} of {where} is a number in this file"
            for name in MEASURES:
                values = getattr(found, name)
                if true.has(name):
                    value = true.measure(name, item, model)
                    assert values is not None, name
                    exactly = math.nan if value is None else float(value)
                    assert values[at] == exactly or (value is None and math.isnan(values[at])), (
                        f"{name} of {where} is {values[at]}, not {exactly}"
                    )
                else:
                    assert values is None, name
    if any("truth" in facts for facts in true.facts.values()):
        truths = labels_at(found, found.truth, text)
        for item in true.items:
            assert alike(truths[row[item]], true.truth(item)), f"truth of {item!r}"
    _check_facts(found, true, row, text)


def _check_facts(found, true: Table, row: dict, text: bool) -> None:
    names = dict.fromkeys(name for facts in true.facts.values() for name in facts)
    for name in names:
        if name == "truth":
            continue
        cells = [true.facts[item].get(name) for item in true.items]
        if text and name != "group":
            cells = fact_of_text(cells)
        values = found.group if name == "group" else found.features[name.removeprefix("feature:")]
        for item, cell in zip(true.items, cells, strict=True):
            value = values[row[item]]
            gone = value is None or value != value
            assert (gone and cell is None) or value == cell, (
                f"{name} of {item!r}: {value!r}, {cell!r}"
            )
            assert isinstance(cell, str) == isinstance(value, str) or gone
    assert set(found.features) == {
        n.removeprefix("feature:") for n in names if n.startswith("feature:")
    }


def check_summary(found, true: Table) -> None:
    """Accuracy, coverage and so on are those of a loop."""
    from tests.contracts import plain

    accuracy, coverage = found.accuracy(), found.coverage()
    for j, name in enumerate(found.models):
        model = next(model for model in true.models if str(model) == name)
        assert close(accuracy[j], plain.accuracy(true, model)), f"accuracy of {name!r}"
        assert close(coverage[j], plain.coverage(true, model)), f"coverage of {name!r}"
        assert close(found.unparsed[:, j].mean(), plain.unparsed(true, model))
