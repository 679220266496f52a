"""Names that say nothing: case and patient ids as keyed hashes.

Without the key, an id cannot be turned back by trying every short PatientID (FAULTS, SC-12), which a bare hash allows.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path


def keyed_hash(value: str, *, key: bytes, purpose: str) -> str:
    """12 hex digits of HMAC-SHA256; the same value has another hash for each purpose."""
    return hmac.new(key, f"{purpose}\0{value}".encode(), hashlib.sha256).hexdigest()[:12]


def case_id(study: str, *, key: bytes) -> str:
    """Id of a study, from what names it uniquely (DICOM UIDs or its place in the cohort's folder)."""
    return f"case-{keyed_hash(study, key=key, purpose='case')}"


def patient_id(patient: str, *, key: bytes) -> str:
    """Id of a patient; every study of one patient has the same."""
    return f"patient-{keyed_hash(patient, key=key, purpose='patient')}"


def cohort_key(path: Path = Path(".femseg/case-ids.key")) -> bytes:
    """The secret that this repository's case ids are made with; made on first use, readable by its owner alone.

    Whoever shares arrays without this file shares no way back to a patient; who loses it gets new ids next time.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(secrets.token_hex(32).encode())
    return path.read_bytes()
