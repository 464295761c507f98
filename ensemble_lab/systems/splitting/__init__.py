"""One language model cut into stages that are processes, and the links between them."""
