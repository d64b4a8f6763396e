"""Stores work in progress, in a folder or in S3: files, checkpoints, and the lease of a sweep."""
