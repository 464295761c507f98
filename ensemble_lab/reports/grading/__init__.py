"""Grading: notebooks of a class are run, and their exercises judged, into one CSV file."""
