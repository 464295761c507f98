"""Stacking: a final model learns which member to trust where."""
