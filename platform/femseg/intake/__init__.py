"""The check of a cohort: what is wrong with each study, in one pass, before its voxels train anything."""
