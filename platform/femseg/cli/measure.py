"""`femseg measure`: a femur in, as a mask or a mesh; its measurement sheet out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from femseg.cli.bones import BonesOptions, bones_of
from femseg.cli.sheets import as_csv, as_plain
from femseg.errors import Refusal, printable
from femseg.files.durable import require_writable, write_bytes_durably
from femseg.measurements.definitions import DEFINITIONS
from femseg.measurements.sheet import Sheet, differences, measured


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """What the command line adds to the femur."""

    bones: BonesOptions = field(default_factory=BonesOptions)
    csv: Path | None = None
    picture: Path | None = None
    page: Path | None = None
    overwrite: bool = False


def measure(place: Path, options: MeasureOptions, *, as_json: bool) -> None:
    """Measure every femur of a mask file, a mesh, a study's folder with CT and mask, or one that `segment` wrote.

    Raises: Refusal for files that cannot be read or exist already; ME-01 (exit 3) where nothing could be measured.
    """
    _require_places(place, options)
    bones = bones_of(place, options.bones)
    pairs = [(measured(mask, side=side, ct=bones.ct, sawn_off=bones.sawn_off), mask) for side, mask in bones.femora]
    pairs.sort(key=lambda pair: ("left", "right", None).index(pair[0].side))
    sheets = tuple(replace(sheet, remarks=(*bones.remarks, *sheet.remarks)) for sheet, _ in pairs)
    if not any(value.value is not None for sheet in sheets for value in sheet.values):
        reasons = "; ".join(dict.fromkeys(value.refused for sheet in sheets for value in sheet.values))
        raise Refusal.of("ME-01", place, f"shows nothing to measure: {reasons}", "give the mask of a femur's end")
    masks = [mask for _, mask in pairs]
    if options.csv:
        write_bytes_durably(options.csv, as_csv(sheets).encode())
    if options.picture:
        from femseg.reports.measurements import picture

        write_bytes_durably(options.picture, picture(sheets, masks, options.picture.suffix[1:]))
    if options.page:
        from femseg.reports.sheet_page import sheet_page

        write_bytes_durably(options.page, sheet_page(place, sheets, masks, ct=options.bones.ct).encode())
    print(json.dumps(as_plain(place, sheets), indent=2) if as_json else _said(place, sheets))


def _require_places(place: Path, options: MeasureOptions) -> None:
    """Refuse before the work what would be refused after it. Raises: Refusal CFG-01, IF-08 (exit 2), or 5."""
    taken = {path.resolve() for path in (place, options.bones.ct) if path is not None}
    kinds: tuple[tuple[Path | None, tuple[str, ...]], ...] = (
        (options.csv, ()),
        (options.picture, (".svg", ".png")),
        (options.page, (".html",)),
    )
    for target, suffixes in kinds:
        if target is None:
            continue
        if target.resolve() in taken:
            raise Refusal.of("IF-08", target, "is named twice, or is what is measured", "give each file its own name")
        if suffixes and target.suffix not in suffixes:
            problem = f"is written as {' or '.join(suffixes)}, not as {target.suffix!r}"
            raise Refusal.of("CFG-01", target, problem, "choose another name")
        if target.exists() and not options.overwrite:
            raise Refusal.of("IF-08", target, "exists already", "choose another name, or give --overwrite")
        require_writable(target)
        taken.add(target.resolve())


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
