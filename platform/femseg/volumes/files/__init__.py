"""Volumes as files: DICOM series, NIfTI, NRRD and MetaImage in, masks out."""
