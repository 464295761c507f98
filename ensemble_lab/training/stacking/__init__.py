"""Stacking: a final model learns whom to trust where."""
