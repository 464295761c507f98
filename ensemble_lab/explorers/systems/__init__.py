"""Explorers of models that work across machines."""
