"""What is femur among the structures that a mask names: segments, regions of interest, labels, file names."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from femseg.cohorts.settings import CohortSettings, LabelMap, StructureNames
from femseg.errors import Fault, Refusal
from femseg.formats.dicom.ct_planes import CtPlanes
from femseg.formats.dicom.headers import SliceHeader
from femseg.formats.dicom.rtstruct import check_structure_set, read_structure_set
from femseg.formats.dicom.segmentation import check_segmentation, read_segmentation
from femseg.formats.source import CheckedVolume
from femseg.layouts.adapter import Pseudonym

_SHOWN = 12
_FEMUR = re.compile(r"f[eé]m(ur|ora|oral)|thigh ?bone|oberschenkel|大腿骨", re.IGNORECASE)
_LEFT = re.compile(r"left|gauche|links|izquierd|左|(^|[^a-z])l([^a-z]|$)", re.IGNORECASE)
_RIGHT = re.compile(r"right|droite?|rechts|derech|右|(^|[^a-z])r([^a-z]|$)", re.IGNORECASE)


def label_map(found: Mapping[str, int], settings: CohortSettings, file: str) -> LabelMap:
    """What the values of a mask mean that names its structures.

    `cohort.structures` decides by name, else `cohort.labels` by value, else a structure that is alone is femur. Every
    structure that is not chosen is "other".

    Args:
        found: each structure's name with the value that its voxels have, background left out.
        file: what the fault names.
    Raises: Refusal IN-22 that lists the names found, if none is chosen, if there are several and nobody chose, or if
        two have the same value.
    """
    if not found:
        raise Refusal.of("IN-22", file, "names no structure", "export the mask with the femur in it")
    if len(set(found.values())) < len(found):
        problem = f"gives structures the same value: {json.dumps(dict(found), ensure_ascii=False)}"
        raise Refusal.of("IN-22", file, problem, "give each structure a value of its own")
    if is_chosen(settings.structures):
        labels = _by_name(found, settings.structures)
    elif settings.labels.known:
        unnamed = set(found.values()) - set(settings.labels.known)
        labels = LabelMap(
            femur=settings.labels.femur,
            left=settings.labels.left,
            right=settings.labels.right,
            other=(*settings.labels.other, *sorted(unnamed)),
        )
    elif len(found) == 1:
        labels = LabelMap(femur=tuple(found.values()))
    else:
        raise Refusal(_unchosen(found, file, f"holds {len(found)} structures and none is chosen"))
    if not set(found.values()) & set(labels.of_femur("all")):
        raise Refusal(_unchosen(found, file, "holds none of the structures chosen"))
    return labels


def is_chosen(names: StructureNames) -> bool:
    """Whether anybody said by name what is femur."""
    return bool(names.femur or names.left or names.right)


def _by_name(found: Mapping[str, int], wanted: StructureNames) -> LabelMap:
    """Values of the names in each list; names are compared without regard to case and to space at their ends."""

    def of(names: tuple[str, ...]) -> tuple[int, ...]:
        listed = {_plain(name) for name in names}
        return tuple(sorted(value for name, value in found.items() if _plain(name) in listed))

    femur, left, right = of(wanted.femur), of(wanted.left), of(wanted.right)
    other = tuple(sorted(set(found.values()) - {*femur, *left, *right}))
    return LabelMap(femur=femur, left=left, right=right, other=other)


def _plain(name: str) -> str:
    return name.strip().casefold()


def _unchosen(found: Mapping[str, int], file: str, problem: str) -> Fault:
    """IN-22 with the names found and the setting to write."""
    names = sorted(found)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    shown = ", ".join(json.dumps(name, ensure_ascii=False) for name in names[:_SHOWN])
    return Fault("IN-22", file, f"{problem}: {shown}{more}", f"say which is femur: {_setting_for(names)}")


def _setting_for(names: list[str]) -> str:
    """A line of params.yaml with the likeliest of these names, for a person to judge."""
    likely = [name for name in names if _FEMUR.search(name)]
    if not likely:
        return "`cohort.structures.femur: [NAME]`, or left or right; if none of them is, drop the case"
    left = [name for name in likely if _LEFT.search(name) and not _RIGHT.search(name)]
    right = [name for name in likely if _RIGHT.search(name) and not _LEFT.search(name)]
    chosen = {"left": left[:1], "right": right[:1]} if left or right else {"femur": likely[:1]}
    return " and ".join(f"`cohort.structures.{key}: [{_yaml(some[0])}]`" for key, some in chosen.items() if some)


def _yaml(name: str) -> str:
    """A name as YAML takes it: bare where it is a plain word, else quoted."""
    return name if re.fullmatch(r"[A-Za-z][\w.-]*( [\w.-]+)*", name) else json.dumps(name, ensure_ascii=False)


def check_drawn(
    mask: SliceHeader | Path,
    ct: CheckedVolume,
    ct_slices: Sequence[SliceHeader],
    settings: CohortSettings,
    pseudonym: Pseudonym,
) -> tuple[CheckedVolume, LabelMap]:
    """Check a segmentation object (by its header) or a structure set (by its path) against the CT.

    Args:
        ct_slices: the CT's slices, in the order of its grid.
    Returns: the mask, on the CT's grid, and what its numbers mean.
    Raises: Refusal with what is wrong with the object, its names, or its place on the CT.
    """
    planes = CtPlanes.of(ct, ct_slices)
    if isinstance(mask, Path):
        structures = read_structure_set(mask)
        labels = label_map(structures.names, settings, str(mask))
        chosen = _there(labels, structures.names)
        checked = check_structure_set(structures, chosen, ct, planes, pseudonym, accept_frame=settings.accept_frame)
        return checked, labels
    segmentation = read_segmentation(mask)
    labels = label_map(segmentation.names, settings, str(mask.path))
    chosen = _there(labels, segmentation.names)
    checked = check_segmentation(segmentation, chosen, ct, planes, pseudonym, accept_frame=settings.accept_frame)
    return checked, labels


def _there(labels: LabelMap, names: Mapping[str, int]) -> list[int]:
    """Numbers that are femur and that the object holds."""
    return [number for number in labels.of_femur("all") if number in names.values()]
