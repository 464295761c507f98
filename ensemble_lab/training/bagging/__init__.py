"""Bagging: members that learn from their own draws of the rows."""
