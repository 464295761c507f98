"""Distillation: a small network learns what a larger model, or an ensemble, would answer."""
