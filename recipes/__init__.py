"""What made `data/` and the weights that ship: run on the raw recordings, not in the wheel."""
