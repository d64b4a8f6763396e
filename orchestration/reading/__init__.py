"""Reads records from MLflow's REST API, its database or an archive, without judging them."""
