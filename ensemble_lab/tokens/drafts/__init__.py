"""Drafts: whoever proposes the next tokens, for the target to check."""
