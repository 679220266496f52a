"""The only importers of Ray and MLflow."""
