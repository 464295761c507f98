"""What the README claims, measured: one script a family, one record a claim."""
