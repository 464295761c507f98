"""A site of all notebooks: an index by trouble, search, still pictures, and one plotly.js."""
