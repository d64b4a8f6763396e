"""Data sets as tensors on the training device: packaged, downloaded, or a user's own."""
