"""A corrected mask checked, measured against what was there, and made the case's next reference; or refused."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from femseg.cohorts.case import Case
from femseg.cohorts.settings import CohortSettings
from femseg.comparison.wording import input_name
from femseg.corrections.reading import (
    ReadMask,
    Said,
    neutral_name,
    read_corrected,
    read_predicted,
    same_femora,
    wanted_femur,
)
from femseg.corrections.reference import (
    Reference,
    copy_durably,
    home_of,
    keep,
    mirrored,
    reference_of,
    take_place,
    write_next,
)
from femseg.corrections.subject import Predicted, Subject, evaluated_of, studies_here, subject_of
from femseg.errors import Refusal, printable
from femseg.files.durable import folder_written_durably, sha256_of_file
from femseg.files.plain import is_folder
from femseg.formats.dicom.folder import files_below
from femseg.formats.source import CheckedVolume
from femseg.formats.zip_archive import is_archive
from femseg.intake.check import check_one
from femseg.intake.identifying_text import tag_naming
from femseg.intake.result import CheckedStudy
from femseg.intake.single_ct import inspect_listed, inspect_study
from femseg.layouts.adapter import StudyFiles
from femseg.layouts.patients import with_patients
from femseg.layouts.zipped_study import named_in_archive
from femseg.lineage.corrections import Correction, Deviation, PredictionBefore, corrections_of, read_correction
from femseg.lineage.output_links import about_case
from femseg.lineage.records import read_record, record_of, series_sha256
from femseg.metrics.scorecard import score
from femseg.settings import read_section
from femseg.volumes.grid import CtVolume, LabelVolume

_KEY = b"-" * 32  # nothing is named by it
_WORDS_AT_MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Who corrected a mask, and why, as they say it."""

    who: str
    why: str

    def __post_init__(self) -> None:
        for option, text in (("--who", self.who), ("--why", self.why)):
            if not text.strip() or len(text) > _WORDS_AT_MOST or printable(text) != text:
                problem = f"expected one line of 1 to {_WORDS_AT_MOST} printable characters"
                raise Refusal.of("CFG-01", option, problem, "say it in a line; it is kept with the reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What has become of a mask.

    Attributes:
        study: where the case lies now.
        masks: files of the new reference.
        record: the folder with its record.
        added: whether the study was not in the cohort.
        remarks: of intake.
    """

    study: Path
    masks: tuple[Path, ...]
    record: Path
    added: bool
    correction: Correction
    remarks: tuple[str, ...]


def correct(case: str, mask: Path, words: Words, *, said: Said, ct: Path | None = None) -> Corrected:
    """Make a person's mask the next reference of a case, in the cohort that params.yaml names.

    Args:
        case: a mask that `femseg segment` wrote, its study's folder there, or a case id or study of the cohort.
        mask: as `reading.read_corrected` takes it.
        ct: of a case that is not in the cohort, and joins it.
    Raises: Refusal for a case or mask that is refused; nothing has changed then.
    """
    settings = read_section(CohortSettings, "cohort")
    subject = subject_of(case, settings)
    if subject.study is not None:
        return _corrected(subject.study, subject, mask, words, said, settings)
    if ct is None:
        problem = f"its CT is no study of {settings.folder}"
        raise Refusal.of("CFG-01", printable(case), problem, "give the CT by --ct: then it joins the cohort")
    return _added(ct, subject, mask, words, said, settings)


def _corrected(
    study: StudyFiles, subject: Subject, mask: Path, words: Words, said: Said, settings: CohortSettings
) -> Corrected:
    """The next reference of a study that is there."""
    if study.archive is not None:
        fix = "unpack it into a folder of its own beside it, and take the ZIP out"
        raise Refusal.of("CFG-01", study.archive, "is a ZIP file, into which no mask is written", fix)
    root = Path(settings.folder).absolute()
    checked, volume, _ = inspect_listed(study, settings, root=root, id_key=_KEY)
    ct = _as_found(checked, root)
    given = read_corrected(mask, ct, volume, settings, said)
    before = reference_of(study, settings, ct, volume)
    home = home_of(study)
    if before.femora is not None and same_femora(before.femora, given.femora, settings.femur):
        raise Refusal.of("CR-01", mask, f"is the reference already{_by_whom(before, home)}", "there is nothing to do")
    predictions = subject.predictions or evaluated_of(series_sha256(checked.ct))
    correction = _measured(given, mask, words, before, predictions, checked, ct, volume)
    with TemporaryDirectory(prefix="femseg-") as folder:
        made = Path(folder)
        new = write_next(study, before, given.femora, settings, made)
        outcome = check_one(mirrored(study, before, new, made), settings, root=made, id_key=_KEY)
        _require_accepted(outcome, made, study.folder)
        correction = replace(correction, masks=tuple(sha256_of_file(made / name) for name in new))
        record = keep(home, correction, before, study.folder)
        take_place(before, {study.folder / name: made / name for name in new})
    return Corrected(
        study=study.location,
        masks=tuple(study.folder / name for name in new),
        record=record,
        added=False,
        correction=correction,
        remarks=(*given.remarks, *map(str, outcome.findings)),
    )


def _added(place: Path, subject: Subject, mask: Path, words: Words, said: Said, settings: CohortSettings) -> Corrected:
    """A study of a CT that was segmented elsewhere, with its corrected mask, in a folder that names nobody."""
    root = Path(settings.folder).absolute()
    _require_room(root, place, settings)
    checked, volume = inspect_study(
        place, id_key=_KEY, series=settings.series, accept_hu=settings.accept_hu, mends=settings.mends
    )
    if series_sha256(checked.ct) != subject.series:
        problem, fix = "is another CT than the one that the model segmented", "give the very files that were segmented"
        raise Refusal.of("IN-06", place, problem, fix)
    ct = _as_found(checked, place if is_folder(place) else place.parent)
    given = read_corrected(mask, ct, volume, settings, said)
    none = Reference(files=(), femora=None, others_zyx=None, labels=settings.labels)
    correction = _measured(given, mask, words, none, subject.predictions, checked, ct, volume)
    name = f"corrected-{subject.series[:12]}"
    if (root / name).exists():
        raise Refusal.of("IF-08", root / name, "exists, and holds another CT by now", "take it out first")
    with folder_written_durably(root / name) as made:
        for number, path in enumerate(ct.paths):
            copy_durably(path, made / neutral_name(ct, number, path))
        bare = StudyFiles(name=name, location=made, folder=made, files=tuple(files_below(made)))
        new = write_next(bare, none, given.femora, settings, made)
        (study,) = with_patients([replace(bare, files=tuple(files_below(made)))], settings.patients)
        outcome = check_one(study, settings, root=made, id_key=_KEY)
        _require_accepted(outcome, made, root / name)
        correction = replace(correction, masks=tuple(sha256_of_file(made / one) for one in new))
        record = keep(home_of(study), correction, none, made)
    return Corrected(
        study=root / name,
        masks=tuple(root / name / one for one in new),
        record=root / name / record.relative_to(made),
        added=True,
        correction=correction,
        remarks=(*given.remarks, *map(str, outcome.findings)),
    )


def _require_room(root: Path, ct: Path, settings: CohortSettings) -> None:
    """Raises: Refusal CFG-01 (exit 2) where no study can join a cohort by itself."""
    if is_archive(ct):
        raise Refusal.of("CFG-01", ct, "is a ZIP file", "unpack it first; its files join the cohort")
    fix = "put CT and mask into it as its layout wants them"
    if settings.source not in ("dicom", "volumes"):
        problem = f"is laid out as {settings.source}, whose list of cases is its owner's"
        raise Refusal.of("CFG-01", settings.folder, problem, fix)
    if any(study.location == root for study in studies_here(settings)):
        fix = "move its files into a folder below it"
        raise Refusal.of("CFG-01", settings.folder, "is one study by itself, not a folder of studies", fix)


def _as_found(case: Case, root: Path) -> CheckedVolume:
    return CheckedVolume(kind=case.ct.kind, paths=case.ct.paths(root), grid=case.grid, mends=case.ct.mends)


def _measured(
    given: ReadMask,
    mask: Path,
    words: Words,
    before: Reference,
    predictions: Mapping[str, Predicted],
    case: Case,
    ct: CheckedVolume,
    volume: CtVolume,
) -> Correction:
    """The record, but for the files that are not written yet.

    Raises: Refusal CR-01 (exit 3) where a model drew the same, IN-06 where it drew it on another CT; CFG-01 (exit 2)
        where the words name the patient.
    """
    if tag := tag_naming(words.why, ct.paths):
        raise Refusal.of("CFG-01", "--why", f"holds what the CT's {tag} says", "leave it out; the record is kept")
    _refuse_of_another_ct(mask, series_sha256(case.ct))
    compared = {}
    for mode, predicted in predictions.items():
        other = read_predicted(predicted.file, volume, sided=predicted.sided)
        if same_femora(other, given.femora, case.femur):
            problem = f"is what the model ({input_name(mode)}) drew: nothing was corrected"
            raise Refusal.of("CR-01", mask, problem, "a model's own mask is no reference; correct it, or leave it")
        compared[mode] = PredictionBefore(
            mask_sha256=predicted.sha256,
            package_sha256=predicted.package_sha256,
            deviation=_deviation(given.femora, other, case),
        )
    return Correction(
        who=words.who.strip(),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        why=words.why.strip(),
        ct=series_sha256(case.ct),
        masks=(),
        given=given.sha256,
        before=tuple(sha256_of_file(path) for path in before.files),
        predictions=compared,
        from_before=_deviation(given.femora, before.femora, case) if before.femora is not None else None,
    )


def _refuse_of_another_ct(mask: Path, series: str) -> None:
    """A mask that lies as femseg wrote it, with its record, tells its CT, also where both grids are equal."""
    if is_folder(mask) or (found := record_of(mask)) is None:
        return
    place, name = found
    cts = about_case(read_record(place), Path(name or mask.name)).cts
    if cts and series not in cts.values():
        fix = "give the mask of this case, or leave the record of another behind"
        raise Refusal.of("IN-06", mask, "lies beside the record of a mask of another CT", fix)


def _deviation(corrected: LabelVolume, other: LabelVolume, case: Case) -> Deviation:
    reference, predicted = (wanted_femur(femora, case.femur) for femora in (corrected, other))
    found = score(reference, predicted, case.grid.spacing_mm_zyx, case_id=case.case_id, grid="native")
    return Deviation(
        dice=found.dice,
        average_surface_distance_mm=found.average_surface_distance_mm,
        hausdorff_95_mm=found.hausdorff_95_mm,
        volume_difference_ml=found.volume_difference_ml,
    )


def _by_whom(before: Reference, home: Path) -> str:
    """Who made the reference that is there, if a record says so."""
    hashes = tuple(sha256_of_file(path) for path in before.files)
    for path in reversed(corrections_of(home)):
        if (found := read_correction(path)).masks == hashes:
            return f", as {found.who} corrected it on {found.when[:10]}"
    return ""


def _require_accepted(outcome: CheckedStudy, made: Path, folder: Path) -> None:
    """Raises: Refusal with what `femseg check` would say of the study as it was about to be."""
    if outcome.faults:
        raise Refusal(named_in_archive(outcome.faults, made, folder))
