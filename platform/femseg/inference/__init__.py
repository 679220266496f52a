"""A CT in, a mask on its own grid out."""
