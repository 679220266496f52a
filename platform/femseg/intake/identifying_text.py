"""Where a patient's name may show: in the names of files and folders, and in the free text of volume files.

What is found is said by its place alone; the text itself is neither kept nor repeated. A path is the user's own and is
named, since no message can do without it.
"""

import gzip
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pydicom

from femseg.files.plain import open_plain
from femseg.formats.volume_file import is_nifti, volume_suffix
from femseg.intake.result import Finding

_NAMING_TAGS = ("PatientName", "PatientID", "OtherPatientNames", "OtherPatientIDs")
_LETTERS_AT_LEAST = 4
_HEADER_AT_MOST_BYTES = 1 << 16
_FILES_TRIED = 3
_NOBODY = {"anonymous", "anonymized", "anonymised", "unknown", "patient", "phantom", "subject", "test", "case", "none"}

# nifti1.h: the header's free texts, by their first byte and length
_NIFTI_TEXTS = {"db_name": (14, 18), "descrip": (148, 80), "aux_file": (228, 24), "intent_name": (328, 16)}
_PERSON_NAME = re.compile(r"[A-Za-zÀ-ÿ]{2,}\^[A-Za-zÀ-ÿ]+|^[A-ZÀ-Þ][a-zà-ÿ]+,? [A-ZÀ-Þ][a-zà-ÿ]+$")
_PATIENT_KEY = re.compile(r"patient|birth|0010[|,_]?(0010|0020|0030|1000|1001)", re.IGNORECASE)


def header_text_findings(name: str, folder: Path, files: Sequence[Path]) -> tuple[Finding, ...]:
    """SC-10: what about a study may say who the patient is.

    Args:
        name: the study's place below the cohort's folder.
        folder: the cohort's folder; names above it are none of the study's.
        files: the study's files.
    """
    return (*_telling_names(name, folder, files), *_telling_texts(name, folder, files))


def tag_naming(text: str, files: Sequence[Path]) -> str:
    """The tag of a study's DICOM files whose value, or a word of it, a text holds; "" if none."""
    known = _identifying_words(files)
    return known.get(_word_in(text, known), "")


def _telling_names(name: str, folder: Path, files: Sequence[Path]) -> Iterator[Finding]:
    known = _identifying_words(files)
    if not known:
        return
    inside = [str(path).removeprefix(f"{folder}/").split("/") for path in files]
    places = sorted({"/".join(parts[:depth]) for parts in inside for depth in range(1, len(parts) + 1)})
    told = [(place, word) for place in places if (word := _word_in(place.rpartition("/")[2], known))]
    if told:
        place, word = told[0]
        more = f" (and {len(told) - 1} more names)" if len(told) > 1 else ""
        yield Finding(
            id="SC-10",
            study=name,
            problem=f"the name of {place} holds what its {known[word]} says{more}",
            advice="Rename it to a number before you share lists, logs or this report.",
        )


def _word_in(name: str, words: Iterable[str]) -> str:
    """The first of some words of a patient's name or identifiers in a file's name; a short one must stand by itself."""
    lower = name.casefold()
    for word in words:
        long = word.isalpha() and len(word) >= _LETTERS_AT_LEAST
        if word in lower and (long or re.search(rf"(?<![0-9a-z]){re.escape(word)}(?![0-9a-z])", lower)):
            return word
    return ""


def _identifying_words(files: Sequence[Path]) -> dict[str, str]:
    """Lower-case words by which the first DICOM file names its patient, each with its tag."""
    words: dict[str, str] = {}
    for path in [path for path in files if not volume_suffix(path)][:_FILES_TRIED]:
        try:
            with warnings.catch_warnings(), open_plain(path) as stream:
                warnings.simplefilter("ignore")
                found = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(_NAMING_TAGS))
                texts = {tag: str(found.get(tag, "")) for tag in _NAMING_TAGS}
        except Exception:  # whatever is wrong with the file is said by its check; pydicom raises a dozen types
            continue
        for tag, text in texts.items():
            whole = text.strip().casefold()
            parts = re.split(r"[\^=,\\ ]+", whole) if "Name" in tag else [whole]
            words |= {part: tag for part in parts if len(part) >= _LETTERS_AT_LEAST and part not in _NOBODY}
        if words:
            break
    return words


def _telling_texts(name: str, folder: Path, files: Sequence[Path]) -> Iterator[Finding]:
    for path in files:
        suffix = volume_suffix(path)
        if not suffix:
            continue
        texts = _texts(path, suffix)
        fields = sorted(key for key, text in texts if _PATIENT_KEY.search(key) or _PERSON_NAME.search(text.strip()))
        if fields:
            file = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
            yield Finding(
                id="SC-10",
                study=name,
                problem=f"the header of {file} may name a patient, in: {', '.join(fields)}",
                advice="Look at these fields, and write the file again without them before you pass it on.",
            )


def _texts(path: Path, suffix: str) -> list[tuple[str, str]]:
    """Free texts of a volume file's header, each with its field's name; none of a file that cannot be read."""
    try:
        with open_plain(path) as file, gzip.open(file) if suffix == ".nii.gz" else file as stream:
            head = stream.read(_HEADER_AT_MOST_BYTES)
    except (OSError, EOFError, zlib.error):
        return []
    if is_nifti(path):
        cut = ((name, head[start : start + length]) for name, (start, length) in _NIFTI_TEXTS.items())
        return [(name, raw.split(b"\0")[0].decode("latin-1")) for name, raw in cut]
    end = b"\n\n" if suffix == ".nrrd" else b"ElementDataFile"
    lines = head.split(end)[0].decode("latin-1").splitlines()
    parted = (re.split(r":=|: | = ", line, maxsplit=1) for line in lines if not line.startswith("#"))
    return [(pair[0].strip(), pair[1].strip()) for pair in parted if len(pair) == 2]
