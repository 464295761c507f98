"""Bagging: members that each learn from rows drawn at random."""
