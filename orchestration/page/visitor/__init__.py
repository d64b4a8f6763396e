"""The visitor of a page, and what visitors may see and do."""
