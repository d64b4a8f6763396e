"""The report of a sweep: its figures, its page, what a notebook shows, and a paper's files."""
