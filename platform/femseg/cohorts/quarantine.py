"""Studies that were left out of a cohort, with the reasons: `quarantine.json`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from femseg.cohorts.checked import CheckedCohort, CheckedStudy
from femseg.durable import write_json_durably

FORMAT = 1


def write_quarantine(cohort: CheckedCohort, folder: Path, path: Path) -> str:
    """Write which studies have faults, which, and what mends them; returns the file's SHA-256.

    Args:
        folder: the cohort's folder; what is named lies below it, so that the file is the same wherever that is.
    """
    return write_json_durably(path, {"format": FORMAT, "studies": quarantined(cohort.refused, folder)})


def quarantined(studies: Sequence[CheckedStudy], folder: Path) -> list[dict[str, Any]]:
    """The refused studies as JSON values."""

    def inner(words: str) -> str:
        return re.sub(rf"(?<![\w./-]){re.escape(str(folder))}/", "", words)

    return [
        {
            "study": study.name,
            "faults": [
                {**fault.as_dict(), "file": inner(fault.file), "problem": inner(fault.problem)}
                for fault in study.faults
            ],
        }
        for study in studies
    ]
