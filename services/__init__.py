"""The long-lived processes a sweep needs: settings, the MLflow tracking server, the Ray side."""
