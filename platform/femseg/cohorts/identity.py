"""Names that say nothing: case and patient ids as keyed hashes.

Without the key, an id cannot be turned back by trying every short PatientID (FAULTS, SC-12), which a bare hash allows.
"""

import hashlib
import hmac


def keyed_hash(value: str, *, key: bytes, purpose: str) -> str:
    """12 hex digits of HMAC-SHA256; the same value has another hash for each purpose."""
    return hmac.new(key, f"{purpose}\0{value}".encode(), hashlib.sha256).hexdigest()[:12]


def case_id(study: str, *, key: bytes) -> str:
    """Id of a study, from what names it uniquely (DICOM UIDs or its place in the cohort's folder)."""
    return f"case-{keyed_hash(study, key=key, purpose='case')}"


def patient_id(patient: str, *, key: bytes) -> str:
    """Id of a patient; every study of one patient has the same."""
    return f"patient-{keyed_hash(patient, key=key, purpose='patient')}"
