"""Many answers to one question: verified, ranked, voted on."""
