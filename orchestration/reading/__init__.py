"""Reading MLflow back, over its REST API or its database: records, and nothing decided of them."""
