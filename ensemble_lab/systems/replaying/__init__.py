"""Tables larger than the memory: their partitions replayed one batch after another."""
