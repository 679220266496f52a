"""A cohort once it is checked: cases, manifest, split and the NPY store."""
