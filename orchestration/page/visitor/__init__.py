"""Who asks for a page, and what he may see and do, as MLflow has it."""
