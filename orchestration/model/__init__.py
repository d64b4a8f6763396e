"""The nouns of a sweep: trials, their recorded runs and status, metrics. Loads no pandas."""
