"""Settings that `femseg check` and `femseg plan` propose, and write."""
