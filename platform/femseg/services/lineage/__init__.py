"""Lineage of what MLflow holds, and a version evaluated again from its own commit and data."""
