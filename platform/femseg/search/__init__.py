"""The search for a learning rate and an input mode: successive halving, its record, what mattered."""
