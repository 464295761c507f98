"""Recordings of live models: a file of lines that is appended to, locked and resumed."""
