"""Choose one model before it runs."""
