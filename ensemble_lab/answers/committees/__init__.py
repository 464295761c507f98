"""Committees of language models: rules over samples, and members that talk to each other."""
