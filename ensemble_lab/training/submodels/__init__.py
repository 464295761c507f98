"""Many models in one: nested widths, weights of any precision, early exits."""
