"""Writing to MLflow: the names that stand there, a trial's way to it, and a sweep's."""
