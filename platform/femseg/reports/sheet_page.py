"""The measurement sheet as people read it: left beside right, each value with its definition, and what it was taken on.

It is a part of a case's page, and a page by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from femseg import __version__
from femseg.errors import printable
from femseg.files.durable import sha256_of_file
from femseg.measurements.definitions import DEFINITIONS
from femseg.measurements.sheet import Sheet, differences
from femseg.reports.measurements import views
from femseg.reports.pages import data_uri, templates, webp
from femseg.volumes.grid import MaskVolume

_QUALITY = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the sheet: of each femur the value, or why there is none and True; and left less right."""

    title: str
    words: str
    cells: tuple[tuple[str, bool], ...]
    difference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSheets:
    """What the part of a page shows: the femora's names, the rows, remarks and pictures by femur."""

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    remarks: tuple[tuple[str, str], ...]
    pictures: tuple[tuple[str, str], ...]


def shown_sheets(sheets: Sequence[Sheet], masks: Sequence[MaskVolume]) -> ShownSheets:
    """The sheets side by side, with the bones that they were taken on."""
    names = tuple(f"{sheet.side} femur" if sheet.side else "femur" for sheet in sheets)
    of_femur = list(zip(names, sheets, masks, strict=True))
    return ShownSheets(
        names=names,
        rows=tuple(sheet_rows(sheets)),
        remarks=tuple((name, remark) for name, sheet, _ in of_femur for remark in sheet.remarks),
        pictures=tuple(
            (name, data_uri(webp(views(sheet, mask), _QUALITY), "webp"))
            for name, sheet, mask in of_femur
            if sheet.directions is not None
        ),
    )


def sheet_rows(sheets: Sequence[Sheet]) -> list[Row]:
    """The sheets side by side."""
    apart = {difference.key: difference.left_less_right for difference in differences(sheets)}
    rows = []
    for number, (key, meant) in enumerate(DEFINITIONS.items()):
        unit = "" if meant.unit == "1" else meant.unit if meant.unit == "°" else f" {meant.unit}"
        values = [sheet.values[number] for sheet in sheets]
        cells = tuple(
            (v.refused, True)
            if v.value is None
            else (f"{v.value:z.1f} ± {v.off_by:.1f}{unit}".replace("-", "−"), False)
            for v in values
        )
        difference = apart.get(key)
        told = "" if difference is None else f"{round(difference, 1) + 0.0:+.1f}{unit}".replace("-", "−")
        rows.append(Row(title=meant.title, words=meant.words, cells=cells, difference=told))
    return rows


def sheet_page(place: Path, sheets: Sequence[Sheet], masks: Sequence[MaskVolume], *, ct: Path | None) -> str:
    """The page of what was measured on a mask or a mesh, as HTML without a script; what is outside is escaped.

    Args:
        place: what was given; a file is named with its SHA-256.
        ct: as it was given for canal and cortex.
    """
    lineage = {"measured on": printable(str(place))}
    if place.is_file():
        lineage["its SHA-256"] = sha256_of_file(place)
    lineage |= {"CT": printable(str(ct)) if ct else "none was given", "femseg": __version__}
    return (
        templates()
        .get_template("sheet_page.html.j2")
        .render(name=printable(place.name), sheet=shown_sheets(sheets, masks), sheets=sheets, lineage=lineage)
    )
