"""DICOM: headers, the stack of slices, multi-frame CT, DICOM-SEG and RTSTRUCT."""
