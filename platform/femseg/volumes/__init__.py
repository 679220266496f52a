"""What a CT volume is, and all that is done to one without learning."""
