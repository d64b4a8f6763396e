"""Which trials a sweep runs, what they need, and in what order."""
