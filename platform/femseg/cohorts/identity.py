"""Names that say nothing: case and patient ids as keyed hashes.

Without the key, an id cannot be turned back by trying every short PatientID (FAULTS, SC-12), which a bare hash allows.
"""

import contextlib
import hashlib
import hmac
import secrets
from pathlib import Path

from femseg.durable import written_durably
from femseg.errors import ExitCode, Fault, Refusal

KEY_BYTES_AT_LEAST = 32


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

    Raises: Refusal (exit 4) if the key is too short to be a secret.
    """
    if not path.exists():
        with contextlib.suppress(OSError):  # what hinders it is said by the writing
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written_durably(path, keep_earlier=True, mode=0o600) as temporary:
            temporary.write_bytes(secrets.token_hex(32).encode())
    key = path.read_bytes()
    if len(key) < KEY_BYTES_AT_LEAST:
        problem = f"holds {len(key)} bytes; a key of case ids has {KEY_BYTES_AT_LEAST} or more"
        fix = "put back your copy of the key; if there is none, remove the file (all case ids will change)"
        raise Refusal(Fault(id="SC-12", file=str(path), problem=problem, fix=fix, exit_code=ExitCode.INTEGRITY))
    return key
