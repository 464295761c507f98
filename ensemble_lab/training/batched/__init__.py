"""The engine: members of one shape, trained as one batched model."""
