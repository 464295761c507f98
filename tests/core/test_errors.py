"""How messages show the values of others."""

import pytest

from ensemble_lab.core.errors import excerpt, nearest, shown


class Loud:
    def __repr__(self):
        return "\x1b[31mred\x9b0m\u202e\x07\n" * 9


ODD = "\x1b]0;title\x07\x9b2J\u202e\ud83d\u200b\x7f"


@pytest.mark.parametrize(
    "value",
    [
        ODD,
        Loud(),
        [Loud()],
        {ODD: Loud()},
        type("\x1b[3m\u202e", (), {}),
        ODD.encode("utf-8", "replace"),
    ],
    ids=["text", "object", "list", "mapping", "class", "bytes"],
)
def test_nothing_that_is_shown_steers_a_terminal(value):
    for text in (shown(value), shown(value, 20), excerpt(repr(value)), excerpt(str(value), 30)):
        assert text.isprintable() and len(text) <= 80


def test_hints_are_printable_too():
    assert nearest("zzz", [ODD, "plain"]).isprintable()
    assert nearest(ODD[:-1], [ODD]).isprintable()


def test_printable_text_is_shown_as_it_is():
    assert excerpt("müde\n  模型 😀") == "müde 模型 😀"
    assert shown("Ellipsis") == "'Ellipsis'" and shown([..., 1]) == "[Ellipsis, 1]"
    assert shown(list(range(99))).endswith("8, 9, …]")
    assert shown([[[[[1]]]]]) == "[[[[…]]]]"
