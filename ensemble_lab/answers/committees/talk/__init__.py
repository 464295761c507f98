"""Members of a committee that read each other's answers: mixtures, debates, juries, reviews."""
