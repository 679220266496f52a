"""`dataset.json`, by which nnU-Net and Decathlon datasets say what they hold; and one CT with its label file.

It comes from whoever made the dataset, so nothing in it is believed unseen: its size is bounded, every key is checked
by type, and paths must stay inside the dataset's folder.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from femseg.cohorts.settings import CohortSettings, LabelMap, MaskUse
from femseg.errors import Fault, Refusal
from femseg.files.plain import open_plain
from femseg.formats.volume_file import check_volume_file, volume_stem
from femseg.layouts.adapter import PairedStudy, Pseudonym, StudyFiles, collected, patient_of
from femseg.layouts.structures import label_map

NAME = "dataset.json"
_BYTES_AT_MOST = 4 << 20


def read_dataset_json(folder: Path) -> dict[str, Any]:
    """The object in a folder's dataset.json.

    Raises: Refusal IN-05 if there is none, IN-26 if it cannot be opened, IN-24 if it is too large, IN-12 if it is no
        JSON object.
    """
    path = folder / NAME
    try:
        with open_plain(path) as stream:
            content = stream.read(_BYTES_AT_MOST + 1)
    except FileNotFoundError:
        problem, fix = f"holds no {NAME}", "set cohort.folder to the folder of one dataset, or cohort.source to another"
        raise Refusal.of("IN-05", folder, problem, fix) from None
    except OSError as error:
        problem, fix = f"cannot be opened: {error.strerror or error}", "restore the file or its permissions"
        raise Refusal.of("IN-26", path, problem, fix) from None
    if len(content) > _BYTES_AT_MOST:
        fix = "leave nothing in it but the description of the dataset"
        raise Refusal.of("IN-24", path, f"is larger than {_BYTES_AT_MOST} bytes", fix)
    try:
        document = json.loads(content, object_pairs_hook=without_twins)
    except (ValueError, RecursionError) as error:
        raise Refusal(wrong_dataset(folder, f"is no readable JSON ({error})", f"correct {NAME}")) from None
    if not isinstance(document, dict):
        problem = f"holds a {type(document).__name__}, expected an object"
        raise Refusal(wrong_dataset(folder, problem, f"correct {NAME}"))
    return document


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object's keys and values. Raises: ValueError on a key given twice, of which JSON would keep the last."""
    once: dict[str, Any] = {}
    for key, value in pairs:
        if key in once:
            raise ValueError(f"key {key!r} stands there twice")
        once[key] = value
    return once


def wrong_dataset(folder: Path, problem: str, fix: str) -> Fault:
    """IN-12: a dataset.json that does not say what it should, or says what is not read."""
    return Fault("IN-12", folder / NAME, problem, fix)


def wrong_key(folder: Path, key: str, found: object, expected: str) -> Fault:
    """IN-12 for one key, with what was found and expected."""
    shown = "nothing" if found is None else json.dumps(found, ensure_ascii=False)
    shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
    return wrong_dataset(folder, f"{key}: expected {expected}, got {shown}", "correct this key")


def channel_faults(folder: Path, key: str, found: object) -> list[Fault]:
    """IN-12 unless the images have one channel and it is CT; the key is `channel_names` or `modality`."""
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()) or not found:
        return [wrong_key(folder, key, found, 'the images\' channels, {"0": "CT"}')]
    if len(found) > 1:
        problem = f"{key}: {len(found)} channels ({', '.join(map(str, found.values()))}); CT alone is read"
        return [wrong_dataset(folder, problem, "take a dataset whose images are CT")]
    (name,) = found.values()
    if name.strip().casefold() == "ct":
        return []
    fix = f'take a dataset whose images are CT; if these are, in Hounsfield units, write {key}: {{"0": "CT"}}'
    return [wrong_dataset(folder, f"{key}: the images are {name!r}; CT alone is read", fix)]


def path_inside(folder: Path, key: str, text: object) -> Path:
    """A path that a dataset.json names, as it lies in the folder.

    Raises: Refusal IN-12 if it is no text, SC-08 (exit 2) if it leads out of the folder.
    """
    if not isinstance(text, str) or not text:
        raise Refusal(wrong_key(folder, key, text, "a path"))
    plain = PurePosixPath(text)
    if plain.is_absolute() or ".." in plain.parts or "\0" in text or "\\" in text:
        problem = f"{key}: {json.dumps(text, ensure_ascii=False)} leads out of the dataset's folder"
        fix = 'write paths as "./imagesTr/case.nii.gz"'
        raise Refusal.of("SC-08", folder / NAME, problem, fix)
    return folder / plain


def pair_of(
    study: StudyFiles,
    image: Path,
    label: Path | None,
    found: Mapping[str, int],
    settings: CohortSettings,
    masks: MaskUse,
) -> PairedStudy:
    """One CT and its label file, checked.

    Args:
        label: None where there is none; a fault if it is needed.
        found: names of the labels with their values, background left out.
    """
    faults: list[Fault] = []
    labels: LabelMap | None = None
    mask = None
    ct = collected(lambda: check_volume_file(image, "ct"), faults)
    if masks == "required" and study.part == "training":
        try:
            labels = label_map(found, settings, str(study.folder / NAME))
        except Refusal as refusal:
            faults.extend(refusal.faults)
        if label is None:
            faults.append(Fault("IN-22", image, "has no label file", "add its label file, or remove the image"))
        else:
            mask = collected(lambda: check_volume_file(label, "mask"), faults)
    patient, remarks = patient_of(study)
    return PairedStudy(
        ct=ct, mask=mask, labels=labels, case_key=study.name, patient_key=patient, faults=tuple(faults), remarks=remarks
    )


# A dataset in the layout of the Medical Segmentation Decathlon, whose dataset.json lists every file.
#
# <folder>/dataset.json          modality, labels, training: [{"image": "./imagesTr/a.nii.gz", "label": …}], test
# <folder>/imagesTr, labelsTr    where the files of `training` usually lie
# <folder>/imagesTs              those of `test`: no cases, but looked for among the others (IN-23)
#
# `labels` names the values of the masks: `cohort.structures` chooses among the names.
#
# Source: Antonelli et al. 2022, "The Medical Segmentation Decathlon"; medicaldecathlon.com.


def studies(folder: Path) -> list[StudyFiles]:
    """Every pair of `training`, then every image of `test`.

    Raises: Refusal with all that is wrong with dataset.json.
    """
    document = read_dataset_json(folder)
    faults = channel_faults(folder, "modality", document.get("modality"))
    labels = document.get("labels")
    if not isinstance(labels, dict) or not all(map(_is_label, labels.items())):
        faults.append(wrong_key(folder, "labels", labels, 'values with their names, {"0": "background", "1": "femur"}'))
    found: list[StudyFiles] = []
    training, test = document.get("training"), document.get("test", [])
    for key, entries in (("training", training), ("test", test)):
        if not isinstance(entries, list):
            faults.append(wrong_key(folder, key, entries, "a list of files"))
            continue
        for place, entry in enumerate(entries):
            try:
                found.append(_study(folder, f"{key}[{place}]", entry, is_test=key == "test"))
            except Refusal as refusal:
                faults.extend(refusal.faults)
    if faults:
        raise Refusal(faults)
    return found


def _is_label(item: tuple[str, Any]) -> bool:
    value, name = item
    return value.isascii() and value.isdigit() and isinstance(name, str)


def _study(folder: Path, key: str, entry: object, *, is_test: bool) -> StudyFiles:
    if is_test and isinstance(entry, str):
        entry = {"image": entry}
    if not isinstance(entry, dict) or (not is_test and "label" not in entry):
        expected = '"./imagesTs/a.nii.gz"' if is_test else '{"image": "./imagesTr/a.nii.gz", "label": …}'
        raise Refusal(wrong_key(folder, key, entry, expected))
    names = ["image"] if is_test else ["image", "label"]
    image, *label = (path_inside(folder, f"{key}.{name}", entry.get(name)) for name in names)
    name = f"test/{volume_stem(image)}" if is_test else volume_stem(image)
    part = "test" if is_test else "training"
    return StudyFiles(name=name, location=image, folder=folder, files=(image, *label), part=part)  # type: ignore[arg-type]


def pair(study: StudyFiles, settings: CohortSettings, pseudonym: Pseudonym, masks: MaskUse) -> PairedStudy:
    """Check a pair's CT and mask."""
    try:
        labels: dict[str, str] = read_dataset_json(study.folder)["labels"]
    except Refusal as refusal:
        return PairedStudy(faults=refusal.faults)
    found = {name: int(value) for value, name in labels.items() if int(value) != 0}
    image, label = study.files[0], study.files[1] if len(study.files) > 1 else None
    return pair_of(study, image, label, found, settings, masks)
