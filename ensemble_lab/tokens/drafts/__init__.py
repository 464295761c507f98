"""Drafts: models and tables that propose the next tokens for the target to check."""
