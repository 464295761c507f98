"""Weights on disk: safetensors and GGUF, checked before they are read."""
