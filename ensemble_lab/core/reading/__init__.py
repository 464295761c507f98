"""Tables of recorded answers in common formats: CSV, TSV, JSON lines, parquet, data frames."""
