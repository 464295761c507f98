"""Learning from what another model wrote: filters, a small student, and what repetition loses."""
