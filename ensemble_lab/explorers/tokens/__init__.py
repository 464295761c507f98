"""Explorers of the token level."""
