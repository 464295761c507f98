"""The explorer of cascades."""
