"""What a paper takes from sweeps, each number with its origin, and whether it still holds."""
