"""Tables of recorded answers as people have them: CSV, TSV, JSON lines, parquet, data frames."""
