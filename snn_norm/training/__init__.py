"""One training run: epochs out, state in and out."""
