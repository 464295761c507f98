"""Explorers of the training level."""
