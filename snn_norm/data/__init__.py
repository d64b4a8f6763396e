"""Data sets as tensors on the training device: packaged, downloaded, or the user's own."""
