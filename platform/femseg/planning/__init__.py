"""Settings that fit a cohort and a machine, with reasons and what they will cost; computed, nothing is read or run."""
