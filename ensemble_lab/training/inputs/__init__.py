"""Checks of what estimators are given: rows, targets, names and settings."""
