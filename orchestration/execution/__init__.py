"""Running a sweep here: the driver, Ray Tune, and the worker that trains a trial."""
