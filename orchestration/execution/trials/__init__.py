"""Decides which trials a sweep runs, in what order, and what they need."""
