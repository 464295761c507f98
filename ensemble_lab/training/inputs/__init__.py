"""What estimators are given: rows, targets, names and settings, checked."""
