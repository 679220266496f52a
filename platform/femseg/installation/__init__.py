"""What this machine has and what is installed on it."""
