"""The search on Ray Tune."""
