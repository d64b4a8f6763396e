"""Files of trained models: those of this package's networks, and of a user's own training code."""
