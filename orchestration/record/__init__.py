"""Writes to MLflow: names of tags and metrics, the recorders of trials and sweeps, archives."""
