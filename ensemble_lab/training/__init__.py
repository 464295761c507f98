"""Models that meet while they learn."""
