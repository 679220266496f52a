"""What `femseg check` reports: a table of the studies and their faults by cause as text; all of it as JSON values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from femseg.cohorts.split import PATIENTS_AT_LEAST
from femseg.errors import Fault, printable
from femseg.faults import FAULTS
from femseg.intake.outliers import Quantity, quantities
from femseg.intake.result import CheckedCohort, CheckedStudy, Finding

_OF_ONE_STUDY = re.compile(r"(?<=--mask )\S+|(?<=--series )\S+|\S*\d\S*")  # names and numbers in a fix
_HEADINGS = ("study", "voxels (z, y, x)", "spacing mm", "side", "femur ml", "metal ml", "cut off at")
_IGNORED_SHOWN = 5
_ROWS_SHOWN = 40
_FINDINGS_SHOWN = 20
_NAMES_SHOWN = 5
NOT_LOOKED_AT = (
    "only headers were read: nothing is known about Hounsfield units, metal, mask values, bone under the mask, "
    "side, volume, or one scan under two names"
)


def all_findings(cohort: CheckedCohort) -> tuple[Finding, ...]:
    """Of every study, then across studies."""
    return (*(finding for study in cohort.studies for finding in study.findings), *cohort.findings)


def to_look_at(cohort: CheckedCohort) -> tuple[CheckedStudy, ...]:
    """Usable studies about which there is a finding."""
    named = {finding.study for finding in all_findings(cohort)}
    return tuple(study for study in cohort.usable if study.name in named)


def _row(study: CheckedStudy) -> tuple[str, ...]:
    facts, grid, looked = study.facts, study.grid, study.case is not None
    return (
        printable(study.name),
        " × ".join(map(str, grid.shape_zyx)) if grid else "?",
        " × ".join(f"{spacing:.4g}" for spacing in grid.spacing_mm_zyx) if grid else "?",
        facts.side or "?",
        f"{facts.femur_ml:.1f}" if facts.femur_ml is not None else "no mask" if looked else "?",
        f"{facts.metal_ml:.1f}" if looked else "?",
        " and ".join(facts.cut_off) or ("-" if looked else "?"),
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return printable(", ".join(names[:_NAMES_SHOWN])) + more


def _remarks(studies: Sequence[CheckedStudy]) -> list[str]:
    """Remarks with the studies that they were made of, each remark once."""
    made: dict[str, list[str]] = {}
    for study in studies:
        for remark in study.remarks:
            made.setdefault(remark, []).append(study.name)
    lines = []
    for remark, of in sorted(made.items()):
        who = f"all {len(of)} studies" if len(of) == len(studies) > 1 else _some(of)
        lines.append(f"  {printable(remark)}: {who}")
    return lines


def _statistics(measured: Sequence[Quantity]) -> list[str]:
    """One line for each quantity: middle and range of all usable studies."""
    lines = []
    for quantity in measured:
        values, unit = quantity.values.values(), f" {quantity.unit}".rstrip()
        spread = f"{min(values):.4g} to {max(values):.4g}{unit}, half of them below {quantity.median:.4g}{unit}"
        lines.append(f"  {quantity.name}: {spread}")
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultGroup:
    """Faults of one kind that one and the same fix mends.

    Attributes:
        studies: names of the studies concerned, each once.
        faults: all of them, in the order in which they were found.
    """

    id: str
    title: str
    fix: str
    studies: tuple[str, ...]
    faults: tuple[Fault, ...]


def fault_groups(cohort: CheckedCohort) -> tuple[FaultGroup, ...]:
    """Every fault of a cohort in exactly one group; those that concern most studies first."""
    found: dict[tuple[str, str], list[tuple[str, Fault]]] = {}
    of_studies = [(study.name, fault) for study in cohort.studies for fault in study.faults]
    for name, fault in of_studies or [("", fault) for fault in cohort.faults]:
        found.setdefault((fault.id, _OF_ONE_STUDY.sub("…", fault.fix)), []).append((name, fault))
    groups = [_group(id_, members) for (id_, _), members in found.items()]
    return tuple(sorted(groups, key=lambda group: (-len(group.studies), group.id)))


def _group(id_: str, members: Sequence[tuple[str, Fault]]) -> FaultGroup:
    fixes = {fault.fix for _, fault in members}
    fix = members[0][1].fix
    return FaultGroup(
        id=id_,
        title=FAULTS[id_].title,
        fix=fix if len(fixes) == 1 else fix.partition(": ")[0],  # what follows is of one study
        studies=tuple(dict.fromkeys(name for name, _ in members if name)),
        faults=tuple(fault for _, fault in members),
    )


def _group_lines(group: FaultGroup) -> list[str]:
    count = f"{len(group.studies)} stud{'y' if len(group.studies) == 1 else 'ies'}, " if group.studies else ""
    files = list(dict.fromkeys(fault.file for fault in group.faults))
    return [
        f"  {group.id}  {group.title}: {count}{len(group.faults)} fault(s)",
        f"    in {_some(files)}",
        f"    Fix: {printable(group.fix)}",
    ]


def ignored_text(cohort: CheckedCohort) -> str:
    """One line: how many files were neither CT nor mask, and the first of them."""
    more = len(cohort.ignored) - _IGNORED_SHOWN
    shown = ", ".join(cohort.ignored[:_IGNORED_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"ignored {len(cohort.ignored)} file(s): {printable(shown)}"


def patients_text(cohort: CheckedCohort) -> str:
    """How many patients, and whether that is enough to split them."""
    if cohort.patients >= PATIENTS_AT_LEAST:
        return f"{cohort.patients} patients"
    return f"{cohort.patients} patient(s), fewer than the {PATIENTS_AT_LEAST} that a split into three parts asks for"


def report_text(cohort: CheckedCohort, *, headers_only: bool = False) -> str:
    """Studies as a table, what they have in common, remarks, findings, and faults by cause; fault lines go apart."""
    usable, lines = cohort.usable, []
    if usable:
        lines += _table([_HEADINGS, *map(_row, usable[:_ROWS_SHOWN])])
    if len(usable) > _ROWS_SHOWN:
        lines += [f"… and {len(usable) - _ROWS_SHOWN} more; --json and --html name all", "", "all of them"]
        lines += _statistics(quantities(usable))
    if remarks := _remarks(usable):
        lines += ["", "remarks", *remarks]
    if findings := all_findings(cohort):
        lines += ["", "worth a look", *(f"  {finding}" for finding in findings[:_FINDINGS_SHOWN])]
        lines += [f"  … and {len(findings) - _FINDINGS_SHOWN} more"] if len(findings) > _FINDINGS_SHOWN else []
    if groups := fault_groups(cohort):
        lines += ["", "faults by cause", *(line for group in groups for line in _group_lines(group))]
    if cohort.ignored:
        lines += ["", ignored_text(cohort)]
    if headers_only:
        lines += ["", NOT_LOOKED_AT]
    summary = f"{len(cohort.accepted)} case(s) accepted, {len(cohort.faults)} fault(s); {patients_text(cohort)}"
    return "\n".join([*lines, "", summary]).lstrip("\n")


def report_json(cohort: CheckedCohort, *, headers_only: bool = False) -> dict[str, Any]:
    """The same for `--json`, nothing left out."""
    return {
        "headers_only": headers_only,
        "patients": cohort.patients,
        "cases": [_case_json(study) for study in sorted(cohort.usable, key=lambda study: study.case_id)],
        "faults": [fault.as_dict() for fault in cohort.faults],
        "groups": [
            {"id": g.id, "title": g.title, "fix": g.fix, "studies": list(g.studies), "faults": len(g.faults)}
            for g in fault_groups(cohort)
        ],
        "refused": [{"study": study.name, "faults": [f.as_dict() for f in study.faults]} for study in cohort.refused],
        "findings": [finding.as_dict() for finding in all_findings(cohort)],
        "statistics": [_quantity_json(quantity) for quantity in quantities(cohort.usable)],
        "ignored": list(cohort.ignored),
    }


def _case_json(study: CheckedStudy) -> dict[str, Any]:
    facts, grid = study.facts, study.grid
    return {
        "study": study.name,
        "case_id": study.case_id,
        "patient_id": study.patient_id,
        "shape_zyx": list(grid.shape_zyx) if grid else None,
        "spacing_mm_zyx": list(grid.spacing_mm_zyx) if grid else None,
        "side": facts.side,
        "sex": facts.sex,
        "age_years": facts.age_years,
        "femur_ml": facts.femur_ml,
        "metal_ml": facts.metal_ml if study.case else None,
        "cut_off": list(facts.cut_off) if study.case else None,
        "remarks": list(study.remarks),
    }


def _quantity_json(quantity: Quantity) -> dict[str, Any]:
    return {
        "quantity": quantity.name,
        "unit": quantity.unit,
        "median": quantity.median,
        "low": min(quantity.values.values()),
        "high": max(quantity.values.values()),
        "outliers": {name: quantity.values[name] for name in quantity.outliers},
    }
