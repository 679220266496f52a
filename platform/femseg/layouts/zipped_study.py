"""A study as a ZIP file: found beside the folders, opened for its check, opened again for every later reading."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from femseg.errors import Fault, Refusal
from femseg.formats.dicom.deflated import MARK_BYTES
from femseg.formats.dicom.folder import files_below, is_dicom, is_hidden
from femseg.formats.zip_archive import any_file, archive_stem, is_archive, unpacked, unpacked_sizes
from femseg.layouts import dataset_json
from femseg.layouts.adapter import StudyFiles, names_a_mask


def zipped_studies(folder: Path) -> list[StudyFiles]:
    """Every archive in a folder as a study, in name order; also those of a kind that its check will refuse."""
    return [zipped_study(path) for path in sorted(folder.iterdir()) if is_archive(path) and not is_hidden(path.name)]


def zipped_study(path: Path) -> StudyFiles:
    """The study in an archive, not yet unpacked."""
    return StudyFiles(name=archive_stem(path), location=path, folder=path, files=(), archive=path)


def zip_holds_dicom(path: Path) -> bool:
    """Whether an archive holds a DICOM file, by its mark or its name."""
    return any_file(path, is_dicom, head_bytes=MARK_BYTES)


@contextmanager
def opened(study: StudyFiles, root: Path) -> Iterator[tuple[StudyFiles, Path]]:
    """A study with its files on disk, and the folder that their recorded paths count from.

    That is `root` for a study in a folder. One in an archive lies in a temporary folder as long as the context lasts;
    where the archive holds a single folder, that is the study's. What is refused inside names the archive, not the
    temporary folder.

    Raises: Refusal as `unpacked` does; IN-12 of a whole dataset in an archive.
    """
    if study.archive is None:
        yield study, root
        return
    if _holds_dataset(study.archive):
        problem = f"holds a dataset ({dataset_json.NAME}); of a ZIP, a single study is read"
        fix = "unpack it first, and check the folder"
        raise Refusal.of("IN-12", study.archive, problem, fix)
    with unpacked(study.archive) as folder:
        try:
            inner = _study_folder(folder)
            yield replace(study, folder=inner, files=tuple(files_below(inner))), folder
        except Refusal as refusal:
            raise Refusal(named_in_archive(refusal.faults, folder, study.archive)) from None


def named_in_archive(faults: Sequence[Fault], folder: Path, archive: Path) -> tuple[Fault, ...]:
    """The same faults, with the files of a temporary folder named by their place in the archive."""
    here, there = str(folder), str(archive)
    return tuple(
        replace(
            fault,
            file=fault.file.replace(here, there),
            problem=fault.problem.replace(here, there),
            fix=fault.fix.replace(here, there),
        )
        for fault in faults
    )


def _holds_dataset(archive: Path) -> bool:
    """Whether dataset.json lies at its top, or in the only folder there."""
    names = [PurePosixPath(name) for name in unpacked_sizes(archive)]
    deep = 1 if len({name.parts[0] for name in names}) > 1 else 2
    return any(name.name == dataset_json.NAME and len(name.parts) <= deep for name in names)


def _study_folder(folder: Path) -> Path:
    """The only folder in a folder, unless its name says that it is the mask's; else the folder itself."""
    entries = [path for path in folder.iterdir() if not is_hidden(path.name)]
    lone = entries[0] if len(entries) == 1 and entries[0].is_dir() else None
    return lone if lone and not names_a_mask(lone.name) else folder
