"""`femseg check`: a folder of studies, looked at before anyone trains on it."""

import json
import secrets
from pathlib import Path

from femseg.cohorts.check import check_cohort, detected_source, studies_of
from femseg.cohorts.check_report import report_json, report_text
from femseg.cohorts.settings import CohortSettings, CohortSource
from femseg.errors import ExitCode, Fault, Refusal
from femseg.progress import progress

_SOURCES: dict[str, CohortSource] = {"dicom": "dicom", "volumes": "volumes"}


def _usage(file: str, problem: str, fix: str) -> Refusal:
    return Refusal(Fault(id="CFG-01", file=file, problem=problem, fix=fix, exit_code=ExitCode.USAGE))


def check_folder(
    folder: Path, *, source: str, masks: bool, mask: str, series: tuple[str, ...], accept_hu: bool, as_json: bool
) -> int:
    """Check and report; returns the exit code. Case ids are hashed with a key of this call alone."""
    if source not in ("auto", *_SOURCES):
        raise _usage("--source", f"expected dicom, volumes or auto, got '{source}'", "choose one of them")
    if not folder.is_dir():
        raise _usage(str(folder), "is no folder", "give the folder that holds the studies")
    try:
        settings = CohortSettings(
            source=_SOURCES.get(source) or detected_source(folder),
            folder=str(folder),
            mask=mask,
            series=series,
            accept_hu=accept_hu,
        )
    except ValueError as error:
        raise _usage("--mask", str(error), "name the mask by its path inside each study's folder") from None
    with progress("check", total=len(studies_of(folder, settings))) as advance:
        cohort = check_cohort(
            folder,
            settings,
            id_key=secrets.token_bytes(32),
            masks="required" if masks else "ignored",
            on_progress=lambda done, _: advance(done, ""),
        )
    print(json.dumps(report_json(cohort), indent=2) if as_json else report_text(cohort))
    return int(Refusal(cohort.faults).exit_code) if cohort.faults else 0
