"""`femseg check`: a folder of studies, looked at before anyone trains on it."""

import json
import secrets
from pathlib import Path
from typing import Literal

from femseg.cohorts.check import check_cohort, detected_source
from femseg.cohorts.check_report import report_json, report_text
from femseg.cohorts.settings import CohortSettings, CohortSource
from femseg.errors import ExitCode, Fault, Refusal
from femseg.progress import progress

_SOURCES: dict[str, CohortSource] = {"dicom": "dicom", "volumes": "volumes"}


def check_folder(folder: Path, *, source: str, masks: bool, as_json: bool) -> int:
    """Check and report; returns the exit code. Case ids are hashed with a key of this call alone."""
    if source not in ("auto", *_SOURCES):
        fault = Fault(
            id="CFG-01",
            file="--source",
            problem=f"expected dicom, volumes or auto, got '{source}'",
            fix="choose one of them",
            exit_code=ExitCode.USAGE,
        )
        raise Refusal(fault)
    if not folder.is_dir():
        fault = Fault(
            id="CFG-01",
            file=str(folder),
            problem="is no folder",
            fix="give the folder that holds the studies",
            exit_code=ExitCode.USAGE,
        )
        raise Refusal(fault)
    wanted: Literal["required", "ignored"] = "required" if masks else "ignored"
    settings = CohortSettings(source=_SOURCES.get(source) or detected_source(folder), folder=str(folder), masks=wanted)
    with progress("check", total=1) as advance:
        cohort = check_cohort(folder, settings, id_key=secrets.token_bytes(32), on_progress=lambda done, total: None)
        advance(1, "")
    print(json.dumps(report_json(cohort), indent=2) if as_json else report_text(cohort))
    return int(Refusal(cohort.faults).exit_code) if cohort.faults else 0
