"""Bandits: choose one model for each item, and learn from the grades of the chosen ones alone."""
