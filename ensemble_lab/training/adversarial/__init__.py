"""Pairs of networks against each other: one writes samples, the other tells them from data."""
