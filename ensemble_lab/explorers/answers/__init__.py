"""Explorers of the answer level."""
