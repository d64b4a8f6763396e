"""The effects of norms and settings: a file for each table, from seeds and curves. Pure."""
