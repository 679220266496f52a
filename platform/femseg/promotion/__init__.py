"""Which model is proposed, and on what evidence."""
