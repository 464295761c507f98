"""Mixture of experts: many feed-forward networks in one layer, of which each token uses few."""
