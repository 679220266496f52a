"""What `femseg selftest` does: a phantom whose every place is known, through every exporter, read back by others."""
