"""Two models inside one: two towers, merged encoders, weights of each modality, and paths."""
