"""Models that share one generation, token by token."""
