"""A dataset in the layout of nnU-Net v2.

    <folder>/dataset.json                     channel_names, labels, file_ending, numTraining
    <folder>/imagesTr/<case>_0000.nii.gz      the CT; nnU-Net numbers channels, and CT has one
    <folder>/labelsTr/<case>.nii.gz           its mask
    <folder>/imagesTs/<case>_0000.nii.gz      no cases: kept for a final test, and looked for among the others (IN-23)

`labels` names the values of the masks: `cohort.structures` chooses among the names. The label "ignore" marks voxels
that nobody annotated; a mask that holds it is refused (IN-22).

Source: nnU-Net, documentation/dataset_format.md.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from femseg.cohorts.settings import CohortSettings, MaskUse
from femseg.errors import Fault, Refusal
from femseg.formats.volume_file import SUFFIXES, volume_stem
from femseg.layouts.adapter import PairedStudy, Pseudonym, StudyFiles
from femseg.layouts.dataset_json import channel_faults, pair_of, read_dataset_json, wrong_dataset, wrong_key

_IMAGES = {"training": "imagesTr", "test": "imagesTs"}
_LABELS = "labelsTr"
_ENDINGS = tuple(suffix for suffix in SUFFIXES if suffix != ".hdr")  # a volume is one file in nnU-Net
_CHANNEL = re.compile(r"(.+)_(\d{4})")


def is_layout_of(folder: Path) -> bool:
    """Whether a dataset is nnU-Net's rather than a Decathlon: its dataset.json, or else its image names, say so."""
    try:
        document = read_dataset_json(folder)
        return "channel_names" in document or "file_ending" in document
    except Refusal:
        return any(_CHANNEL.fullmatch(volume_stem(path)) for path in _listed(folder / _IMAGES["training"]))


def studies(folder: Path) -> list[StudyFiles]:
    """Every case by its name, those without image or label too, then those of imagesTs.

    Raises: Refusal with all that is wrong with dataset.json.
    """
    document = read_dataset_json(folder)
    faults = _faults(folder, document)
    found = [] if faults else [*_cases(folder, "training"), *_cases(folder, "test")]
    training = [study for study in found if study.part == "training"]
    images = sum(any(path.parent.name == _IMAGES["training"] for path in study.files) for study in training)
    if not faults and document.get("numTraining", images) not in (images, len(training)):
        problem = f"numTraining: says {document['numTraining']}, {_IMAGES['training']} holds {images} cases"
        faults = [wrong_dataset(folder, problem, "bring back the missing cases, or correct the number")]
    if faults:
        raise Refusal(faults)
    return found


def _faults(folder: Path, document: dict[str, Any]) -> list[Fault]:
    faults = channel_faults(folder, "channel_names", document.get("channel_names"))
    labels, ending = document.get("labels"), document.get("file_ending")
    if not isinstance(labels, dict) or not all(map(_is_label, labels.values())):
        faults.append(wrong_key(folder, "labels", labels, 'names with their values, {"background": 0, "femur": 1}'))
    if ending not in _ENDINGS:
        faults.append(wrong_key(folder, "file_ending", ending, f"one of {', '.join(_ENDINGS)}"))
    if not isinstance(document.get("numTraining", 0), int):
        faults.append(wrong_key(folder, "numTraining", document["numTraining"], "the number of training cases"))
    if "dataset" in document:
        problem = "dataset: lists the files of each case; files are looked for in imagesTr and labelsTr alone"
        faults.append(wrong_dataset(folder, problem, "put the files, or links to them, into these folders"))
    return faults


def _is_label(value: object) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in values)


def _cases(folder: Path, part: str) -> list[StudyFiles]:
    """The files of `imagesTr` and `labelsTr` (or of `imagesTs`) by case; a misnamed image is a study of its own."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in _listed(folder / _IMAGES[part]):
        named = _CHANNEL.fullmatch(volume_stem(path))
        files[named[1] if named else path.name].append(path)
    if part == "training":
        for path in _listed(folder / _LABELS):
            files[volume_stem(path)].append(path)
    return [
        StudyFiles(
            name=name if part == "training" else f"{_IMAGES['test']}/{name}",
            location=found[0],
            folder=folder,
            files=tuple(found),
            part="training" if part == "training" else "test",
        )
        for name, found in sorted(files.items())
    ]


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir())


def pair(study: StudyFiles, settings: CohortSettings, pseudonym: Pseudonym, masks: MaskUse) -> PairedStudy:
    """Check a case's CT and mask."""
    try:
        document = read_dataset_json(study.folder)
        found = _named_values(study.folder, document, settings) if masks == "required" else {}
    except Refusal as refusal:
        return PairedStudy(faults=refusal.faults)
    ending = document["file_ending"]
    images = [path for path in study.files if path.parent.name != _LABELS]
    labels = [path for path in study.files if path.parent.name == _LABELS]
    if faults := _file_faults(study, images, ending):
        return PairedStudy(faults=tuple(faults))
    return pair_of(study, images[0], labels[0] if labels else None, found, settings, masks)


def _named_values(folder: Path, document: dict[str, Any], settings: CohortSettings) -> dict[str, int]:
    """Labels that have one value, without background and "ignore".

    Raises: Refusal IN-12 on regions, unless cohort.labels says what the values mean.
    """
    labels: dict[str, Any] = document["labels"]
    regions = [name for name, value in labels.items() if isinstance(value, list)]
    if regions and not settings.labels.known:
        problem = f"labels: {', '.join(regions)} are regions of several values"
        fix = "say what the values of the masks mean by cohort.labels (femur, left, right, other)"
        raise Refusal(wrong_dataset(folder, problem, fix))
    single = {name: value for name, value in labels.items() if name not in (*regions, "ignore")}
    return {name: value for name, value in single.items() if value != 0}


def _file_faults(study: StudyFiles, images: list[Path], ending: str) -> list[Fault]:
    """IN-05 for files that make no case, IN-12 for channels."""
    faults = []
    for path in study.files:
        expected = f"<case>{ending}" if path.parent.name == _LABELS else f"<case>_0000{ending}"
        if not path.name.endswith(ending) or (path in images and not _CHANNEL.fullmatch(volume_stem(path))):
            problem, fix = f"is not named {expected}", "name it so, or take it out of the dataset"
            faults.append(Fault("IN-05", path, problem, fix))
    if faults:
        return faults
    if not images:
        problem = f"is a label without an image: there is no {_IMAGES['training']}/{study.name}_0000{ending}"
        return [Fault("IN-05", study.location, problem, "add the image or remove the label")]
    if [path.name for path in images] != [f"{volume_stem(images[0])[:-5]}_0000{ending}"]:
        problem = f"holds the channels {', '.join(path.name for path in images)}; CT has one, numbered 0000"
        fix = "take a dataset whose images are CT"
        return [Fault("IN-12", images[-1], problem, fix)]
    return []
