"""Distillation: a student learns the distributions of its teachers, not labels alone."""
