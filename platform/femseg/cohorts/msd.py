"""A dataset in the layout of the Medical Segmentation Decathlon, whose dataset.json lists every file.

    <folder>/dataset.json          modality, labels, training: [{"image": "./imagesTr/a.nii.gz", "label": …}], test
    <folder>/imagesTr, labelsTr    where the files of `training` usually lie
    <folder>/imagesTs              those of `test`: no cases, but looked for among the others (IN-23)

`labels` names the values of the masks: `cohort.structures` chooses among the names.

Source: Antonelli et al. 2022, "The Medical Segmentation Decathlon"; medicaldecathlon.com.
"""

from pathlib import Path
from typing import Any

from femseg.cohorts.dataset_json import channel_faults, pair_of, path_inside, read_dataset_json, wrong_key
from femseg.cohorts.settings import CohortSettings, MaskUse
from femseg.cohorts.study import PairedStudy, Pseudonym, StudyFiles
from femseg.errors import Refusal
from femseg.volumes.files.volume_file import volume_stem


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
