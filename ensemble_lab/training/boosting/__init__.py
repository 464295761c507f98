"""Boosting: each stage works on what the last one got wrong."""
