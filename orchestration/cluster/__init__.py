"""Runs sweeps on a Ray cluster: submits, follows, stops and restarts them."""
