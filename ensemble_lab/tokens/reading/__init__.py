"""Read tokens at given positions: caches, readers, compiled and packed ones."""
