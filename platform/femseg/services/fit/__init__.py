"""One training on Ray Train: the job, its driver, its curve in MLflow."""
