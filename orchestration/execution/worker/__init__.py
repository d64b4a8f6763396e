"""Runs in a worker's process: one trial after another, an epoch at a time."""
