"""`femseg check`: a folder of studies, looked at before anyone trains on it."""

import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from femseg.cohorts.archive import is_archive
from femseg.cohorts.check import check_cohort, detected_source
from femseg.cohorts.check_report import report_json, report_text
from femseg.cohorts.settings import CohortSettings, CohortSource
from femseg.cohorts.study import StudyFiles
from femseg.errors import ExitCode, Fault, Refusal
from femseg.progress import progress
from femseg.settings import read_section

_SOURCES: dict[str, CohortSource] = {s: s for s in get_args(CohortSource) if s != "phantom"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What the command line says; what it leaves out is as `params` says, else as the settings' defaults.

    Attributes:
        params: file whose section `cohort` holds the settings.
        source: "" leaves it to `params`, else "auto" looks into the files.
    """

    params: Path | None
    source: str
    mask: str
    series: tuple[str, ...]
    accept_hu: bool


def _usage(file: str, problem: str, fix: str) -> Refusal:
    return Refusal(Fault(id="CFG-01", file=file, problem=problem, fix=fix, exit_code=ExitCode.USAGE))


def settings_for(folder: Path, options: CheckOptions) -> CohortSettings:
    """The settings to check `folder` by. Raises: Refusal (exit 2) if options or `params` are wrong."""
    if options.source not in ("", "auto", *_SOURCES):
        raise _usage("--source", f"expected auto, {', '.join(_SOURCES)}, got '{options.source}'", "choose one of them")
    if not folder.is_dir() and not (is_archive(folder) and folder.exists()):
        raise _usage(str(folder), "is no folder", "give the folder that holds the studies, or one zipped study")
    if options.params and not options.params.is_file():
        raise _usage(str(options.params), "is no file", "give a params.yaml by --params")
    stated = read_section(CohortSettings, "cohort", file=options.params) if options.params else CohortSettings()
    source = stated.source if options.params and not options.source else _SOURCES.get(options.source)
    try:
        return replace(
            stated,
            folder=str(folder),
            source=source or detected_source(folder),
            mask=options.mask or stated.mask,
            series=options.series or stated.series,
            accept_hu=options.accept_hu or stated.accept_hu,
        )
    except ValueError as error:
        raise _usage("--mask", str(error), "name the mask by its path inside each study's folder") from None


def _watched(studies: Sequence[StudyFiles]) -> Iterator[StudyFiles]:
    with progress("check", total=len(studies)) as advance:
        for done, study in enumerate(studies, start=1):
            yield study
            advance(done, "")


def check_folder(folder: Path, options: CheckOptions, *, masks: bool, as_json: bool) -> int:
    """Check; report on stdout, one line for each fault on stderr. Returns the exit code.

    Case ids are hashed with a key of this call alone.
    """
    cohort = check_cohort(
        folder,
        settings_for(folder, options),
        id_key=secrets.token_bytes(32),
        masks="required" if masks else "ignored",
        watched=_watched,
    )
    print(json.dumps(report_json(cohort), indent=2) if as_json else report_text(cohort))
    for fault in cohort.faults:
        print(fault, file=sys.stderr)
    return int(Refusal(cohort.faults).exit_code) if cohort.faults else 0
