"""`femseg measure`: a mask in, the measurement sheet of each femur out."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.cli.check import CheckOptions, by_side, settings_for
from femseg.cohorts.settings import LabelMap
from femseg.errors import Refusal, printable
from femseg.files.durable import require_writable, write_bytes_durably
from femseg.files.plain import is_folder
from femseg.formats.dicom.folder import files_below
from femseg.formats.reading import of_labels, read_checked_ct, read_checked_labels
from femseg.formats.source import CheckedVolume
from femseg.formats.volume_file import check_volume_file
from femseg.inference.femora import told_apart
from femseg.intake.check import pseudonym_with
from femseg.intake.single_ct import inspect_study
from femseg.layouts.adapter import StudyFiles
from femseg.layouts.detect import adapter_of
from femseg.lineage.records import FOLDER_MASK, FOLDER_RECORD
from femseg.measurements.definitions import DEFINITIONS
from femseg.measurements.femur import Side
from femseg.measurements.sheet import Sheet, differences, measured
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid

AS_WRITTEN = LabelMap(left=(1,), right=(2,), femur=(3,))  # by `femseg segment`
_KEY = b"-" * 32  # nothing is named here, so that no pseudonym is kept
_LEAST_IN_CT = 0.99
_SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """What the command line adds to the mask."""

    ct: Path | None = None
    accept_hu: bool = False
    labels: tuple[str, ...] = ()
    csv: Path | None = None
    picture: Path | None = None
    overwrite: bool = False


def measure(place: Path, options: MeasureOptions, *, as_json: bool) -> None:
    """Measure every femur of a mask file, of a study's folder with CT and mask, or of one that `femseg segment` wrote.

    Raises: Refusal for files that cannot be read or exist already; ME-01 (exit 3) where nothing could be measured.
    """
    for target in filter(None, (options.csv, options.picture)):
        if target.exists() and not options.overwrite:
            raise Refusal.of("IF-08", target, "exists already", "choose another name, or give --overwrite")
        require_writable(target)
    values_zyx, grid, labels, ct = _read(place, options)
    masks = femora_in(values_zyx, grid, labels)
    if not masks:
        raise Refusal.of("IN-22", place, "holds no femur", "give a mask of a femur, or name its values by --label")
    if ct is not None:
        _require_in(ct, masks, place)
    sheets = tuple(measured(mask, side=side, ct=ct) for side, mask in masks)
    if not any(value.value is not None for sheet in sheets for value in sheet.values):
        reasons = "; ".join(dict.fromkeys(value.refused for sheet in sheets for value in sheet.values))
        raise Refusal.of("ME-01", place, f"shows nothing to measure: {reasons}", "give the mask of a femur's end")
    if options.csv:
        write_bytes_durably(options.csv, _csv(sheets).encode())
    if options.picture:
        from femseg.reports.measurements import picture

        write_bytes_durably(options.picture, picture(sheets, [mask for _, mask in masks], options.picture.suffix[1:]))
    print(json.dumps(_plain(place, sheets), indent=2) if as_json else _said(place, sheets))


def _read(place: Path, options: MeasureOptions) -> tuple[NDArray[np.generic], VoxelGrid, LabelMap, CtVolume | None]:
    """The mask's values on its grid, what they mean, and the CT."""
    labels: LabelMap = by_side("--label", options.labels, LabelMap, int) if options.labels else LabelMap()
    ct = inspect_study(options.ct, id_key=_KEY, accept_hu=options.accept_hu)[1] if options.ct else None
    if is_folder(place) and (place / FOLDER_RECORD).is_file() and (place / FOLDER_MASK).is_file():
        place = place / FOLDER_MASK
    if not is_folder(place):
        mask = check_volume_file(place, "mask")
        return read_checked_labels(mask), mask.grid, labels, ct
    checked_ct, mask, stated = _study(place)
    labels = labels if labels.known else stated
    ct = ct or read_checked_ct(checked_ct)
    return read_checked_labels(mask, labels.meanings or ((1,), (2,))), mask.grid, labels, ct


def _study(folder: Path) -> tuple[CheckedVolume, CheckedVolume, LabelMap]:
    """CT and mask of one study, and what the mask's values mean where the study says so."""
    settings = settings_for(folder, CheckOptions(cohort={}))
    study = StudyFiles(name=folder.name, location=folder, folder=folder, files=tuple(files_below(folder)))
    paired = adapter_of(study, settings).pair(study, settings, pseudonym_with(_KEY), "required")
    if paired.faults or paired.ct is None or paired.mask is None:
        missing = Refusal.of("IN-05", folder, "holds no CT with a mask", "give the folder of one study, or a mask file")
        raise Refusal(paired.faults) if paired.faults else missing
    return paired.ct, paired.mask, paired.labels or LabelMap()


def _require_in(ct: CtVolume, masks: Sequence[tuple[Side | None, MaskVolume]], place: Path) -> None:
    """Raises: Refusal IN-20 if a femur does not lie in the CT: its HU would be another place's."""
    for _, mask in masks:
        at = ct.grid.indices_zyx(mask.grid.positions_mm_xyz(np.argwhere(mask.femur_zyx)))
        inside = np.all((at > -1.0) & (at < ct.grid.shape_zyx), axis=1).mean()
        if inside < _LEAST_IN_CT:
            problem = f"lies outside of the CT but for {inside:.0%} of its voxels"
            raise Refusal.of("IN-20", place, problem, "give the CT that the mask was made from")


def femora_in(
    values_zyx: NDArray[np.generic], grid: VoxelGrid, labels: LabelMap
) -> tuple[tuple[Side | None, MaskVolume], ...]:
    """Each femur's largest piece with its side: as the values say, else by place and shape."""
    if not labels.known and np.isin(values_zyx, (2, 3)).any():
        labels = AS_WRITTEN
    found: list[tuple[Side | None, NDArray[np.bool_]]] = [
        (side, of_labels(values_zyx, labels.of_side(side))) for side in _SIDES if labels.of_side(side)
    ]
    if rest := (labels.femur or (() if labels.known else _only_value(values_zyx))):
        femora = told_apart(MaskVolume(femur_zyx=of_labels(values_zyx, rest), grid=grid))
        numbers: tuple[tuple[Side | None, int], ...] = (("left", 1), ("right", 2), (None, 3))
        found += [(side, femora.labels.labels_zyx == number) for side, number in numbers]
    return tuple((side, MaskVolume(femur_zyx=_largest(mask), grid=grid)) for side, mask in found if mask.any())


def _only_value(values_zyx: NDArray[np.generic]) -> tuple[int, ...]:
    """Of a mask that nothing explains: its value, if there is one alone, else 1."""
    values = np.unique(values_zyx)
    found = values[values != 0].tolist()
    return (int(found[0]),) if len(found) == 1 else (1,)


def _largest(mask_zyx: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(mask_zyx)
    return mask_zyx if count < 2 else np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))


def _plain(place: Path, sheets: Sequence[Sheet]) -> dict[str, Any]:
    return {
        "mask": str(place),
        "frame": "LPS, mm",
        "definitions": {key: asdict(definition) for key, definition in DEFINITIONS.items()},
        "femora": [asdict(sheet) for sheet in sheets],
        "left_less_right": {d.key: d.left_less_right for d in differences(sheets)},
    }


def _csv(sheets: Sequence[Sheet]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["side", "key", "title", "value", "unit", "off_by", "refused", "definition"])
    for sheet in sheets:
        for value in sheet.values:
            meant = DEFINITIONS[value.key]
            numbers = ["" if number is None else f"{number:.3f}" for number in (value.value, value.off_by)]
            side = sheet.side or "unknown"
            rows.writerow(
                [side, value.key, meant.title, numbers[0], meant.unit, numbers[1], value.refused, meant.words]
            )
    return text.getvalue()


def _said(place: Path, sheets: Sequence[Sheet]) -> str:
    """The sheets side by side, with their difference where one is of either side."""
    width = max(len(definition.title) for definition in DEFINITIONS.values())
    apart = {difference.key: difference.left_less_right for difference in differences(sheets)}
    heads = [f"{sheet.side or 'side unknown':>18}" for sheet in sheets] + ([f"{'left - right':>14}"] if apart else [])
    lines = [printable(str(place)), " " * (width + 2) + "".join(heads)]
    for row, (key, meant) in enumerate(DEFINITIONS.items()):
        values = [sheet.values[row] for sheet in sheets]
        unit = "" if meant.unit == "1" else meant.unit
        cells = ["–" if v.value is None else f"{v.value:.1f} ± {v.off_by:.1f} {unit}" for v in values]
        difference = apart.get(key)
        tail = f"{difference:>+12.1f} {unit}" if difference is not None else ""
        lines.append(f"  {meant.title:<{width}}" + "".join(f"{cell:>18}" for cell in cells) + tail)
    for sheet in sheets:
        reasons = dict.fromkeys(value.refused for value in sheet.values if value.refused)
        seen = " and ".join(sheet.ends) or "no end"
        name = f"{sheet.side or 'side unknown'}, {sheet.volume_ml:.0f} ml, seen whole: {seen}"
        lines += [f"  {name}", *(f"    {remark}" for remark in (*sheet.remarks, *(f"– {r}" for r in reasons)))]
    return "\n".join(lines)
