"""The model registry: versions, aliases, the gate at work, the audit log."""
