"""What stands beside a reference that a person corrected: who, when and why, and how far it lies from what was there.

The record lies with the study, hidden from intake: `.corrections/<study>/<n>/correction.json`. The mask that it
replaced lies in `before/` beside it. It holds hashes and what the person said, no path and no id of the study.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from femseg.errors import Refusal
from femseg.files.durable import read_json, sha256_of_file, sha256_of_json, write_json_durably
from femseg.lineage.materials import Link, shortened
from femseg.settings import as_plain, checked

FORMAT = 1
CORRECTIONS, RECORD, BEFORE = ".corrections", "correction.json", "before"
_FOLDERS_ABOVE = 6  # from a file in `before/` to the study's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far another mask lies from the corrected one; distances are None where one of the two is empty.

    Attributes:
        volume_difference_ml: the other's volume less the corrected one's.
    """

    dice: float
    average_surface_distance_mm: float | None
    hausdorff_95_mm: float | None
    volume_difference_ml: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionBefore:
    """What a model had drawn.

    Attributes:
        mask_sha256: of the mask's file.
        package_sha256: of the model.
    """

    mask_sha256: str
    package_sha256: str
    deviation: Deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One new version of a case's reference.

    Attributes:
        who, why: as the person who corrected it said.
        when: UTC, ISO 8601.
        ct: `series_sha256` of the CT.
        masks: SHA-256 of the reference's files as they were written.
        given: SHA-256 of the files that the person gave.
        before: SHA-256 of the files of the reference before, which lie in `before/`; none if it is the first.
        predictions: by input mode, what was compared.
        from_before: deviation of the reference before; None if there was none, or it lay on another grid.
    """

    who: str
    when: str
    why: str
    ct: str
    masks: tuple[str, ...]
    given: tuple[str, ...]
    before: tuple[str, ...] = ()
    predictions: dict[str, PredictionBefore] = field(default_factory=dict)
    from_before: Deviation | None = None


def write_correction(folder: Path, correction: Correction) -> None:
    """Write the record into its folder, durably, with a hash of its own content."""
    plain = as_plain(correction)
    write_json_durably(folder / RECORD, {"format": FORMAT, "record": plain, "sha256": sha256_of_json(plain)})


def read_correction(path: Path) -> Correction:
    """Read a record. Raises: Refusal ST-02 (exit 4) if it is missing, torn, altered or of another format."""
    plain = read_json(path)
    problem = f"is no record of a correction of format {FORMAT}"
    if isinstance(plain, Mapping) and plain.get("format") == FORMAT and "record" in plain:
        if sha256_of_json(plain["record"]) == plain.get("sha256"):
            return checked(Correction, plain["record"], where="record", file=path)
        problem = "was altered: its own hash does not hold"
    raise Refusal.of("ST-02", path, problem, "take it again from a copy; a record is never written by hand")


def corrections_of(home: Path) -> tuple[Path, ...]:
    """The records of a study, oldest first. `home` is its folder in `.corrections`."""
    numbered = sorted((int(path.parent.name), path) for path in home.glob(f"[0-9]*/{RECORD}"))
    return tuple(path for _, path in numbered)


def correction_of(file: Path) -> tuple[Path, Correction] | None:
    """The newest record that says of a file that it is a corrected reference; None if none does."""
    sha256 = ""
    for folder in file.absolute().parents[:_FOLDERS_ABOVE]:
        for home in sorted((folder / CORRECTIONS).glob("*")):
            sha256 = sha256 or sha256_of_file(file)
            for path in reversed(corrections_of(home)):
                correction = read_correction(path)
                if sha256 in correction.masks:
                    return path, correction
    return None


def correction_links(file: Path, path: Path, correction: Correction, known: Mapping[str, str]) -> list[Link]:
    """From a corrected reference to who corrected it, the CT, what a model had drawn, and the reference before.

    Args:
        known: by case id, the CTs of the cohort at hand, as `series_sha256` gives them.
    """
    case = next((case for case, series in known.items() if series == correction.ct), "")
    links = [
        Link(what=f"file {file.name}", value=sha256_of_file(file), state="holds", note="as its record says"),
        Link(what="corrected", value=correction.when, state="holds", note=f"by {correction.who}: {correction.why}"),
        Link(
            what="CT series",
            value=correction.ct,
            state="holds" if case else "not here",
            note=f"{case} of the cohort at hand" if case else "that it was checked against; not in the cohort at hand",
        ),
    ]
    for mode, found in correction.predictions.items():
        note = f"by the package {shortened(found.package_sha256)}; Dice {found.deviation.dice:.3f} with this"
        links.append(Link(what=f"prediction, {mode}", value=found.mask_sha256, state="not here", note=note))
    kept = {sha256_of_file(at) for at in (path.parent / BEFORE).rglob("*") if at.is_file()}
    for sha256 in correction.before:
        state, note = ("holds", "kept beside the record") if sha256 in kept else ("broken", "is not kept any more")
        links.append(Link(what="reference before", value=sha256, state=state, note=note))  # type: ignore[arg-type]
    return links
