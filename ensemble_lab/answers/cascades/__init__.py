"""Ask a cheap model first, and a more expensive one where the first is not confident."""
