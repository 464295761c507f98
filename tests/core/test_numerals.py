"""Numbers that people wrote as text: exact, one form for all spellings, nothing guessed."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_lab.core.reading.numerals import local_readings, number_in


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18", 18),
        ("18.0", 18),
        ("18.", 18),
        ("+18", 18),
        ("018", 18),
        (" 18\t", 18),
        ("1.8e1", 18),
        ("180E-1", 18),
        (".5", 0.5),
        ("0.50", 0.5),
        ("-0", 0),
        ("-0.0", 0),
        ("9007199254740993", 9007199254740993),
        ("9007199254740993.0", 9007199254740993),
        ("123456789012345678901", 123456789012345678901),
        ("1e400", 10**400),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("0.10000000000000000555111512312578270", "0.1000000000000000055511151231257827"),
    ],
)
def test_spellings_of_one_number(text, number):
    assert number_in(text) == number and type(number_in(text)) is type(number)


@pytest.mark.parametrize(
    "text",
    ["", " ", "1_000", "nan", "inf", "-inf", "None", "0x10", "1e", "e5", "--1", "1 2", "1,5", "18%"]
    + ["\uff11\uff18", "\u0661\u0668", "\u09e7\u09ee", "\u00b2", "\u2212" + "5", "five", "1e99999"]
    + ["9" * 5000, "1" * 100_000 + "x"],
)
def test_what_is_text(text):
    assert number_in(text) is None


@given(st.integers(-(10**40), 10**40))
def test_whole_numbers_of_any_size_are_exact(number):
    for text in (str(number), f"{number}.0", f"{number}.", f"{number}e0", f"{number}0e-1"):
        assert number_in(text) == number and type(number_in(text)) is int


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_reads_back_from_how_it_is_written(number):
    assert float(number_in(repr(number))) == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=25), st.integers(0, 3))
def test_equal_numbers_are_equal_and_others_are_not(number, zeros):
    text = f"{number:f}" + "0" * zeros
    assert number_in(text) == number_in(f"{number:f}")
    found = number_in(text)
    assert Fraction(Decimal(repr(found) if isinstance(found, float) else found)) == Fraction(number)
    assert number_in(f"{number:f}1") != found


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("1,319", {1319, 1.319}),
        ("0,9", {0.9}),
        ("1.234,5", {1234.5}),
        ("1,234.5", {1234.5}),
        ("1 000", {1000}),
        ("1\u00a0000", {1000}),
        ("1\u202f000,5", {1000.5}),
        ("1'000", {1000}),
        ("1’000", {1000}),
        ("12,34,567", {1234567}),
        ("1.234.567", {1234567}),
        ("-1,5", {-1.5}),
        ("1.234", set()),  # a number already
        ("18", set()),
        ("a,b", set()),
        ("1,2,3", set()),
        ("95%", set()),
        ("", set()),
    ],
)
def test_what_some_countries_write(text, readings):
    assert local_readings(text) == readings
