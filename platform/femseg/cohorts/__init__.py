"""Where cases come from: studies, manifest, split, the phantom cohort, the NPY store."""
