"""Training runs, which yield epochs and whose state can be saved and restored."""
