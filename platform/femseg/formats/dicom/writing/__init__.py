"""Masks as DICOM objects that refer to their CT: DICOM-SEG and RTSTRUCT."""
