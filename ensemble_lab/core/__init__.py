"""What every level speaks: outcomes, policies, decisions, votes, intervals and frontiers."""
