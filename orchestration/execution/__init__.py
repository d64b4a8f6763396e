"""Runs a sweep: the driver, Ray Tune, and the workers that train trials."""
