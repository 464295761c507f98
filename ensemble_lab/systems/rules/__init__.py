"""One rule a paper: which model on which machine, and what runs next."""
