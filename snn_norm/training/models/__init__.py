"""Trained models in files: of this package's networks, and of training code of a user's own."""
