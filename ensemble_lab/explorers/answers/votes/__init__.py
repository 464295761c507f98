"""The explorer of votes."""
