"""Try a cheap model first, and a more expensive one where it is not sure."""
