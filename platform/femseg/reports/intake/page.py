"""The page of `femseg check --html`: what is wrong with which study, what to do, and what the cohort is like."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from femseg.errors import Fault, printable
from femseg.faults import FAULTS
from femseg.intake.outliers import HU_DISTANCE, quantities
from femseg.intake.report import NOT_LOOKED_AT, all_findings, to_look_at
from femseg.intake.result import CheckedCohort, CheckedStudy, Finding
from femseg.reports.intake.charts import counted, dot_line, hu_lines
from femseg.reports.intake.pictures import Panel, panels
from femseg.reports.pages import templates

_NAMED = 8
_PROBLEMS_SHOWN = 4
_URGENT = ("IN-06", "SC-07", "SC-13")  # somebody's identity may be at stake: before all others
_GAPS = ("IN-01", "IN-03")
_OF_MASK = ("IN-20", "IN-21", "IN-22")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStep:
    """One thing to do, and for which studies: the first of them with the anchors of their cards."""

    advice: str
    titles: str
    studies: tuple[tuple[str, str], ...]
    more: int
    urgent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultBox:
    """Faults of one study that one and the same advice mends: what is the matter, where exactly, and what to do."""

    ids: tuple[str, ...]
    titles: str
    advice: str
    problems: tuple[tuple[str, str], ...]
    more: int
    fixes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One study of the gallery.

    Attributes:
        anchor: by which the page's links find it.
        state: "refused", "look" or "fine".
        mask_wrong: the outline is drawn as a warning.
        marks: kinds of bands in the pictures, for the legend.
    """

    anchor: str
    name: str
    state: str
    panels: tuple[Panel, ...]
    mask_wrong: bool
    marks: tuple[str, ...]
    no_preview: str
    boxes: tuple[FaultBox, ...]
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    facts: str


def intake_page(cohort: CheckedCohort, folder: Path, *, headers_only: bool) -> str:
    """The page as HTML: no script, no request; text from outside is escaped, pictures are inlined.

    Args:
        folder: the cohort's folder; files are named from there.
    """
    environment = templates()
    looked_at = to_look_at(cohort)
    cards = [_card(number, study, cohort, folder) for number, study in enumerate(cohort.studies)]
    anchors = {card.name: card.anchor for card in cards}
    measured = quantities(cohort.usable)
    outliers = [name for quantity in measured for name in quantity.outliers if quantity.name == HU_DISTANCE]
    return environment.get_template("intake.html.j2").render(
        folder=printable(folder.resolve().name),
        verdict=verdict(len(cohort.studies), len(cohort.usable), len(looked_at)),
        headers_only=NOT_LOOKED_AT if headers_only else "",
        steps=_steps(cohort, anchors),
        folder_faults=[] if cohort.studies else cohort.faults,
        shelves=[
            (title, [card for card in cards if card.state == state])
            for title, state in (("Must be mended", "refused"), ("Deserve a look", "look"), ("Fine", "fine"))
        ],
        counted=counted(cohort.usable),
        usable=len(cohort.usable),
        dot_lines=[dot_line(quantity) for quantity in measured],
        hu_lines=hu_lines(cohort.usable, outliers),
        findings=[(finding, anchors.get(finding.study)) for finding in all_findings(cohort)],
        ignored=[_below(path, folder) for path in cohort.ignored],
    )


def verdict(studies: int, usable: int, looked_at: int) -> str:
    """The outcome in one sentence."""
    if not studies:
        return "There is no study in this folder."
    refused = studies - usable
    if usable == studies:
        said = "The study can be used" if studies == 1 else f"All {studies} studies can be used"
    elif not usable:
        said = "The study must be mended" if studies == 1 else f"None of the {studies} studies can be used as they are"
    else:
        said = f"{usable} of {studies} studies can be used; {refused} must be mended"
    if looked_at:
        said += f"; {looked_at} deserve{'s' if looked_at == 1 else ''} a look"
    return said + "."


def _below(path: str, folder: Path) -> str:
    """A path, or words that hold paths, as seen from the cohort's folder."""
    return printable(path.replace(f"{folder}/", "").replace(str(folder), folder.name))


def _titles(faults: Sequence[Fault]) -> str:
    """What is the matter, each kind of fault once."""
    titles = list(dict.fromkeys(FAULTS[fault.id].title for fault in faults))
    return "; ".join([titles[0], *(title[0].lower() + title[1:] for title in titles[1:])])


def _advice(fault: Fault, beside: Sequence[Fault]) -> str:
    """What to do about one fault of a study."""
    if fault.id in _GAPS and any(other.id == "IN-14" for other in beside):
        return FAULTS["IN-14"].advice  # the broken file is the missing slice
    return FAULTS[fault.id].advice


def _steps(cohort: CheckedCohort, anchors: dict[str, str]) -> list[FirstStep]:
    """What to do first, most of the studies at once, but mixed-up patients before all."""
    advised: dict[str, list[tuple[Fault, str]]] = {}
    for study in cohort.refused:
        for fault in study.faults:
            advised.setdefault(_advice(fault, study.faults), []).append((fault, study.name))
    steps = []
    for advice, members in advised.items():
        names = list(dict.fromkeys(name for _, name in members))
        steps.append(
            FirstStep(
                advice=advice,
                titles=_titles([fault for fault, _ in members]),
                studies=tuple((printable(name), anchors[name]) for name in names[:_NAMED]),
                more=max(0, len(names) - _NAMED),
                urgent=any(fault.id in _URGENT for fault, _ in members),
            )
        )
    return sorted(steps, key=lambda step: (not step.urgent, -len(step.studies) - step.more))


def _card(number: int, study: CheckedStudy, cohort: CheckedCohort, folder: Path) -> Card:
    findings = tuple(finding for finding in (*study.findings, *cohort.findings) if finding.study == study.name)
    marks = tuple(dict.fromkeys(band.kind for band in study.preview.bands)) if study.preview else ()
    return Card(
        anchor=f"study-{number}",
        name=printable(study.name),
        state="refused" if study.faults else "look" if findings else "fine",
        panels=panels(study.preview) if study.preview else (),
        mask_wrong=any(fault.id in _OF_MASK for fault in study.faults),
        marks=marks,
        no_preview=study.no_preview,
        boxes=_boxes(study.faults, folder),
        findings=findings,
        remarks=tuple(map(printable, study.remarks)),
        facts=_facts(study),
    )


def _boxes(faults: Sequence[Fault], folder: Path) -> tuple[FaultBox, ...]:
    advised: dict[str, list[Fault]] = {}
    for fault in faults:
        advised.setdefault(_advice(fault, faults), []).append(fault)
    return tuple(
        FaultBox(
            ids=tuple(dict.fromkeys(fault.id for fault in of)),
            titles=_titles(of),
            advice=advice,
            problems=tuple((_below(f.file, folder), _below(f.problem, folder)) for f in of[:_PROBLEMS_SHOWN]),
            more=max(0, len(of) - _PROBLEMS_SHOWN),
            fixes=tuple(dict.fromkeys(printable(fault.fix) for fault in of)),
        )
        for advice, of in advised.items()
    )


def _facts(study: CheckedStudy) -> str:
    """One line: what is known of a study."""
    facts, said = study.facts, []
    if study.grid:
        said.append(f"{study.grid.shape_zyx[0]} slices, {study.grid.spacing_mm_zyx[0]:.3g} mm apart")
    if facts.side:
        said.append(f"{facts.side} femora" if facts.side == "both" else f"{facts.side} femur")
    if facts.femur_ml is not None:
        said.append(f"{facts.femur_ml:.0f} ml")
    if facts.metal_ml >= 0.1:
        said.append(f"{facts.metal_ml:.3g} ml of metal")
    if facts.sex or facts.age_years is not None:
        age = "" if facts.age_years is None else f" {facts.age_years}"
        said.append(f"{facts.sex or ''}{age}".strip())
    return " · ".join(said)
