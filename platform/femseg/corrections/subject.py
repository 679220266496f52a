"""What is corrected: a mask of ours with its record, or a case of the cohort; and the study that its CT belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from femseg.cohorts.manifest import read_manifest
from femseg.cohorts.settings import MADE_HERE, CohortSettings
from femseg.errors import Refusal, printable
from femseg.files.durable import sha256_of_file
from femseg.formats.volume_file import volume_suffix
from femseg.intake.check import name_below, pseudonym_with
from femseg.layouts.adapter import StudyFiles
from femseg.layouts.detect import adapter_of, no_study, studies_of
from femseg.lineage.output_links import about_case
from femseg.lineage.records import FOLDER_RECORD, OutputRecord, read_record, record_of, series_sha256
from femseg.paths import EVALUATED, MANIFEST, PARAMS

_KEY = b"-" * 32  # nothing is named here, so that no pseudonym is kept
_WHAT = "a mask that `femseg segment` wrote, its study's folder there, or a case id or study of the cohort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A mask that a model drew, proven to be as it was written.

    Attributes:
        file: where it lies.
        sha256, package_sha256: of the file, and of the model.
        sided: whether its values tell left and right, as those of `femseg segment` do.
    """

    file: Path
    sha256: str
    package_sha256: str
    sided: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is corrected.

    Attributes:
        series: `series_sha256` of its CT; "" where only the study tells.
        study: of the cohort; None if its CT is in none.
        predictions: by input mode.
    """

    series: str
    study: StudyFiles | None
    predictions: Mapping[str, Predicted]


def studies_here(settings: CohortSettings) -> list[StudyFiles]:
    """The cohort's studies; none in a folder that holds none yet.

    Raises: Refusal CFG-01 (exit 2) where the cohort is made by the pipeline, or there is no folder.
    """
    if settings.source in MADE_HERE:
        problem = f"cohort.source is {settings.source}, whose references are made with their CTs"
        raise Refusal.of("CFG-01", PARAMS, problem, "set cohort.source and cohort.folder to your own studies")
    folder = Path(settings.folder).absolute()
    try:
        return studies_of(folder, settings)
    except Refusal as refusal:
        if refusal.faults == (no_study(folder, settings),):
            return []
        raise


def subject_of(case: str, settings: CohortSettings) -> Subject:
    """What the user names.

    Raises: Refusal CFG-01 (exit 2) if it is nothing of the kind; LN-01 (exit 4) if a mask was altered since.
    """
    studies, path = studies_here(settings), Path(case)
    if found := _recorded(path):
        place, name = found
        record = about_case(read_record(place), Path(name or path.name))
        if record.kind not in ("segmentation", "evaluation") or len(record.cts) != 1 or len(record.models) != 1:
            raise _no_case(case)
        ((mode, package),), (series,) = record.models.items(), record.cts.values()
        file = place.parent / name if name else path
        if not volume_suffix(file):
            raise Refusal.of("CFG-01", file, "is drawn on the CT's slices", "give the mask's NIfTI, NRRD or MHA file")
        predicted = _proven(file, record, name or "mask", package)
        return Subject(series=series, study=_with_ct(series, studies, settings, path), predictions={mode: predicted})
    study = _named(case, studies, settings)
    if study is None:
        raise _no_case(case)
    return Subject(series="", study=study, predictions={})


def evaluated_of(series: str) -> dict[str, Predicted]:
    """By input mode, the mask that the stage `evaluate` left of a CT in the cohort."""
    case = next((case for case, known in _manifested().items() if known[0] == series), "")
    found = {}
    for place in sorted(EVALUATED.glob(f"*/{FOLDER_RECORD}")) if case else ():
        record, name = read_record(place), f"ct_grid/{case}.nii.gz"
        if name in record.files and record.cts.get(case) == series and len(record.models) == 1:
            ((mode, package),) = record.models.items()
            found[mode] = _proven(place.parent / name, record, name, package)
    return found


def _recorded(path: Path) -> tuple[Path, str] | None:
    """The record that speaks of a mask, and the mask's name in it; of a folder, of the mask in it."""
    if path.is_file():
        return record_of(path)
    record = path / FOLDER_RECORD
    if not record.is_file():
        return None
    masks = sorted(name for name in read_record(record).files if volume_suffix(Path(name)))
    return (record, masks[0]) if masks else None


def _proven(file: Path, record: OutputRecord, name: str, package: str) -> Predicted:
    sha256 = sha256_of_file(file) if file.is_file() else ""
    if sha256 != record.files.get(name):
        problem = "is not the mask that the model drew: it was altered or moved since"
        fix = "save what you correct under another name; `femseg segment --overwrite` draws it again"
        raise Refusal.of("LN-01", file, problem, fix)
    return Predicted(file=file, sha256=sha256, package_sha256=package, sided=record.kind == "segmentation")


def _no_case(case: str) -> Refusal:
    return Refusal.of("CFG-01", printable(case)[:300] or "CASE", "is no case to correct", f"give {_WHAT}")


def _manifested() -> dict[str, tuple[str, str]]:
    """By case id: the hash of its CT, and the CT's first file below the cohort's folder; empty without a manifest."""
    if not MANIFEST.is_file():
        return {}
    cases = read_manifest(MANIFEST).cases
    return {case.case_id: (series_sha256(case.ct), (case.ct.archive or case.ct.files[0]).path) for case in cases}


def _named(case: str, studies: Sequence[StudyFiles], settings: CohortSettings) -> StudyFiles | None:
    """The study with this case id, this name, or at this place."""
    root = Path(settings.folder).absolute()
    if case in (known := _manifested()):
        return _holding(root / known[case][1], studies)
    places = {Path(case).absolute(), root / case}
    return next((s for s in studies if s.location in places or case in (s.name, name_below(s, root))), None)


def _holding(file: Path, studies: Sequence[StudyFiles]) -> StudyFiles | None:
    return next((study for study in studies if file in study.files or file == study.archive), None)


def _with_ct(series: str, studies: Sequence[StudyFiles], settings: CohortSettings, hint: Path) -> StudyFiles | None:
    """The study that holds a CT: by the manifest, else by its files' hashes, those of a study named alike first."""
    root = Path(settings.folder).absolute()
    for known, file in _manifested().values():
        if known == series and (study := _holding(root / file, studies)):
            return study
    first = sorted(studies, key=lambda study: study.name not in (hint.name, hint.parent.name))
    return next((study for study in first if _series_of(study, settings, root) == series), None)


def _series_of(study: StudyFiles, settings: CohortSettings, root: Path) -> str:
    ct = adapter_of(study, settings).pair(study, settings, pseudonym_with(_KEY), "ignored").ct
    return series_sha256(ct.hashed(root)) if ct else ""
