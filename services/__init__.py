"""The long-lived processes that a sweep needs, MLflow's tracking server and Ray; settings."""
