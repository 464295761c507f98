"""Models that work across machines: queues, engines under load, placement and scheduling."""
