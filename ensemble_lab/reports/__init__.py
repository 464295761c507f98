"""Notebooks as one-file reports, and their student versions."""
