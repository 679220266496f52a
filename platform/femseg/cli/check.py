"""`femseg check`: a folder of studies, looked at before anyone trains on it."""

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from femseg.cli.settings.proposal import proposed, split_text, write_settings
from femseg.cohorts.settings import MADE_HERE, CohortSettings, CohortSource, LabelMap, StructureNames
from femseg.errors import Refusal
from femseg.files.durable import require_writable, write_bytes_durably
from femseg.files.plain import is_file, is_folder
from femseg.formats.zip_archive import is_archive
from femseg.intake.check import check_one, crashed_study
from femseg.intake.cohort import gathered
from femseg.intake.cost import LIBRARIES_BYTES, check_memory_bytes, expected_seconds
from femseg.intake.leakage import read_split_file
from femseg.intake.report import report_json, report_text
from femseg.intake.result import CheckedCohort, CheckedStudy, write_quarantine
from femseg.layouts.adapter import StudyFiles
from femseg.layouts.detect import detected_source, studies_of
from femseg.progress import progress
from femseg.settings import read_section

_SOURCES: tuple[CohortSource, ...] = tuple(source for source in get_args(CohortSource) if source not in MADE_HERE)
_RAY_PAYS_FROM_S = 12.0  # starting a private session takes about 4 s

Check = Callable[[StudyFiles], CheckedStudy]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What the command line says; what it leaves out is as `params` says, else as the settings' defaults.

    Attributes:
        params: file whose section `cohort` holds the settings.
        cohort: keys of that section that the command line gives anew; what is empty stays. A `source` may be "auto",
            which looks into the files; `structures` and `labels` are words SIDE=NAME and SIDE=VALUE, SIDE being femur,
            left, right (and, for labels, other).
        headers_only: look at no voxel.
        html, quarantine, split: files to write, to write, and to read.
        write: a params.yaml to write the settings into that the check proposes; `params` too where that is not given.
    """

    params: Path | None = None
    cohort: Mapping[str, Any] = field(default_factory=dict)
    masks: bool = True
    headers_only: bool = False
    html: Path | None = None
    quarantine: Path | None = None
    split: Path | None = None
    write: Path | None = None

    @property
    def settings_file(self) -> Path | None:
        """The file that settings are read from."""
        return self.params or self.write


def _usage(file: str, problem: str, fix: str) -> Refusal:
    return Refusal.of("CFG-01", file, problem, fix)


def _require_free_places(folder: Path, options: CheckOptions) -> None:
    """Refuse, before the check, to write over what is checked or read, or where nothing can be (exit 2 or 5)."""
    taken = {path.resolve() for path in (options.params, options.split) if path}
    for target in filter(None, (options.html, options.quarantine)):
        place = target.resolve()
        if place in taken or place == folder.resolve():
            raise _usage(str(target), "is read or written by this check already", "choose another file")
        if target.exists() and (not target.is_file() or folder.resolve() in place.parents):
            raise _usage(str(target), "is there already, among what is checked or no plain file", "choose a new file")
        require_writable(target)
        taken.add(place)


def settings_for(folder: Path, options: CheckOptions) -> CohortSettings:
    """The settings to check `folder` by. Raises: Refusal (exit 2) if options or `params` are wrong."""
    given = {key: value for key, value in options.cohort.items() if value}
    source = given.pop("source", "")
    if source not in ("", "auto", *_SOURCES):
        raise _usage("--source", f"expected auto, {', '.join(_SOURCES)}, got '{source}'", "choose one of them")
    if not is_folder(folder) and not (is_archive(folder) and os.path.lexists(folder)):
        raise _usage(str(folder), "is no folder", "give the folder that holds the studies, or one zipped study")
    if options.settings_file and not is_file(options.settings_file):
        raise _usage(str(options.settings_file), "is no file", "give a params.yaml")
    file = options.settings_file
    stated = read_section(CohortSettings, "cohort", file=file) if file else CohortSettings()
    if options.params and not source and stated.source not in MADE_HERE:  # nobody else's folder holds phantoms
        source = stated.source
    if "structures" in given:
        given["structures"] = by_side("--structure", given["structures"], StructureNames, str)
    if "labels" in given:
        given["labels"] = by_side("--label", given["labels"], LabelMap, int)
    given["source"] = source if source in _SOURCES else detected_source(folder)
    try:
        return replace(stated, folder=str(folder), **given)
    except ValueError as error:
        raise _usage("--mask", str(error), "name the mask by its path inside each study's folder") from None


def by_side(option: str, words: Sequence[str], made: type[Any], value: Callable[[str], Any]) -> Any:
    """StructureNames or LabelMap from SIDE=WHAT."""
    sides: dict[str, list[Any]] = {}
    try:
        for word in words:
            side, _, what = word.partition("=")
            sides.setdefault(side, []).append(value(what))
        return made(**{side: tuple(values) for side, values in sides.items()})
    except (TypeError, ValueError):
        names = ", ".join(made.__dataclass_fields__)
        fix = f"write {option} left=… with one of {names}, each value once"
        raise _usage(option, f"cannot be understood: {' '.join(words)}", fix) from None


def _in_process(check: Check, studies: Sequence[StudyFiles]) -> list[CheckedStudy]:
    found = []
    with progress("check", total=len(studies)) as advance:
        for done, study in enumerate(studies, start=1):
            found.append(check(study))
            advance(done, "")
    return found


def _from(folder: Path, check: Check, study: StudyFiles) -> CheckedStudy:
    """On a worker, whose working folder may be another: paths are as the user gave them."""
    with chdir(folder):
        return check(study)


def _on_ray(check: Check, studies: Sequence[StudyFiles], memory_bytes: int) -> list[CheckedStudy]:
    from femseg.services.cluster.map_cases import map_cases  # Ray takes seconds to load and to start
    from femseg.services.cluster.session import ray_session

    with ray_session():
        return map_cases(
            partial(_from, Path.cwd(), check),
            studies,
            names=[str(study.location) for study in studies],
            task="check",
            memory_bytes=memory_bytes,
            on_crash=crashed_study,
        )


def checked(folder: Path, options: CheckOptions, settings: CohortSettings | None = None) -> CheckedCohort:
    """Check every study below a folder: one after the other, or on Ray where that is faster.

    Case ids are hashed with a key of this call alone.

    Raises: Refusal if options or files named by them are wrong, or there is no study; faults of studies are returned.
    """
    settings = settings or settings_for(folder, options)
    split = options.split or (Path(settings.split) if settings.split else None)
    folds = read_split_file(split) if split else ()
    studies = studies_of(folder, settings)
    check = partial(
        check_one,
        settings=settings,
        root=folder if is_folder(folder) else folder.parent,
        id_key=secrets.token_bytes(32),
        masks="required" if options.masks else "ignored",
        headers_only=options.headers_only,
        pictures=options.html is not None,
    )
    if len(studies) > 1 and expected_seconds(studies, headers_only=options.headers_only) > _RAY_PAYS_FROM_S:
        memory = LIBRARIES_BYTES if options.headers_only else max(map(check_memory_bytes, studies))
        found = _on_ray(check, studies, memory)
    else:
        found = _in_process(check, studies)
    return gathered(found, folder, settings, folds)


def check_folder(folder: Path, options: CheckOptions, *, as_json: bool) -> int:
    """Check; report on stdout, one line for each fault on stderr, pages and lists to files. Returns the exit code."""
    _require_free_places(folder, options)
    settings = settings_for(folder, options)
    cohort = checked(folder, options, settings)
    headers_only = options.headers_only
    if as_json:
        print(json.dumps(report_json(cohort, headers_only=headers_only), indent=2))
    else:
        print(report_text(cohort, headers_only=headers_only))
    for fault in cohort.faults:
        print(fault, file=sys.stderr)
    if options.html:
        from femseg.reports.intake.page import intake_page  # as much to load as all the rest

        write_bytes_durably(options.html, intake_page(cohort, folder, headers_only=headers_only).encode())
    if options.write:
        given = [key for key, value in options.cohort.items() if value]
        for line in write_settings(options.write, proposed(cohort, settings, given, options.write)):
            print(f"{options.write}: {line}", file=sys.stderr if as_json else sys.stdout)
    if options.settings_file and not as_json:
        print(split_text(cohort, settings, options.settings_file))
    if options.quarantine:
        write_quarantine(cohort, folder, options.quarantine)
    if not cohort.faults or (options.quarantine and cohort.accepted):
        return 0
    return int(Refusal(cohort.faults).exit_code)
