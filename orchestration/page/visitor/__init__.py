"""The visitor of a page, and what he may see and do."""
