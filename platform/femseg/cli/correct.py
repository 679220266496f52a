"""`femseg correct`: a person's mask in, the case's next reference out."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from femseg.cli.check import by_side
from femseg.cohorts.settings import LabelMap, StructureNames
from femseg.comparison.wording import input_name
from femseg.corrections.correct import Corrected, Words, correct
from femseg.corrections.reading import Said
from femseg.errors import printable
from femseg.lineage.corrections import BEFORE, Deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectOptions:
    """What the command line adds to case and mask."""

    who: str
    why: str
    ct: Path | None = None
    labels: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    as_json: bool = False


def correct_case(case: str, mask: Path, options: CorrectOptions) -> None:
    """Correct a case's reference and say how far it moved. Raises: Refusal, and nothing has changed."""
    said = Said(
        labels=by_side("--label", options.labels, LabelMap, int),
        structures=by_side("--structure", options.structures, StructureNames, str),
    )
    done = correct(case, mask, Words(who=options.who, why=options.why), said=said, ct=options.ct)
    print(json.dumps(_plain(done), indent=2) if options.as_json else "\n".join(_lines(done)))


def _plain(done: Corrected) -> dict[str, object]:
    return {
        "study": str(done.study),
        "masks": [str(mask) for mask in done.masks],
        "record": str(done.record),
        "added": done.added,
        **asdict(done.correction),
        "remarks": list(done.remarks),
    }


def _lines(done: Corrected) -> list[str]:
    correction = done.correction
    files = ", ".join(_shown(mask) for mask in done.masks)
    joined = "; the study joined the cohort" if done.added else ""
    lines = [f"{files}: corrected by {correction.who}, correction {done.record.name} of this case{joined}"]
    for mode, found in correction.predictions.items():
        lines.append(f"  the prediction ({input_name(mode)}) lies off it: {_said(found.deviation)}")
    if correction.from_before is not None:
        lines.append(f"  the reference before lies off it: {_said(correction.from_before)}")
    if correction.before:
        lines.append(f"  the reference before is kept in {_shown(done.record / BEFORE)}")
    lines += [f"  {printable(remark)}" for remark in done.remarks]
    return [*lines, "  next: dvc repro"]


def _shown(path: Path) -> str:
    """Below the folder that one is in, as one would type it."""
    here = Path.cwd()
    return printable(path.relative_to(here) if path.is_relative_to(here) else path)


def _said(deviation: Deviation) -> str:
    distances = (
        ("mean surface distance", deviation.average_surface_distance_mm),
        ("95 % Hausdorff distance", deviation.hausdorff_95_mm),
    )
    told = ", ".join(f"{name} {'undefined' if mm is None else f'{mm:.2f} mm'}" for name, mm in distances)
    return f"Dice {deviation.dice:.3f}, {told}, volume {deviation.volume_difference_ml:+.1f} ml"
