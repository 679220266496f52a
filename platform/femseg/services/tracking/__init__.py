"""MLflow as the tracking store: runs that end with a true status, metrics that survive an outage."""
