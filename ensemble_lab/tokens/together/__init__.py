"""Several models that write one text together."""
