"""What every member of a kind promises."""
