"""Recordings of live models: a file of lines, locked while it is written, that can be resumed."""
