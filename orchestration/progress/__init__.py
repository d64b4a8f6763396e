"""The progress of a running sweep: its events, the status of each trial, and its display."""
