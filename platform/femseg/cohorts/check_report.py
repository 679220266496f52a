"""What `femseg check` reports: a table of the cases as text; all of it, faults included, as JSON values."""

from collections.abc import Sequence
from typing import Any

from femseg.cohorts.case import Case
from femseg.cohorts.check import CheckedCohort
from femseg.errors import printable

_HEADINGS = ("case", "voxels (z, y, x)", "spacing mm", "side", "femur ml", "metal ml", "cut off at")
_IGNORED_SHOWN = 5


def _row(case: Case) -> tuple[str, ...]:
    facts = case.facts
    return (
        case.case_id,
        " × ".join(map(str, case.grid.shape_zyx)),
        " × ".join(f"{spacing:.4g}" for spacing in case.grid.spacing_mm_zyx),
        facts.side or "?",
        "no mask" if facts.femur_ml is None else f"{facts.femur_ml:.1f}",
        f"{facts.metal_ml:.1f}",
        " and ".join(facts.cut_off) or "-",
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _remarks(cases: Sequence[Case]) -> list[str]:
    """Remarks with the cases that they were made of, each remark once."""
    made: dict[str, list[str]] = {}
    for case in cases:
        for remark in case.remarks:
            made.setdefault(remark, []).append(case.case_id)
    lines = []
    for remark, of in sorted(made.items()):
        who = f"all {len(of)} cases" if len(of) == len(cases) > 1 else ", ".join(of)
        lines.append(f"  {remark}: {who}")
    return lines


def ignored_text(cohort: CheckedCohort) -> str:
    """One line: how many files were neither CT nor mask, and the first of them."""
    more = len(cohort.ignored) - _IGNORED_SHOWN
    shown = ", ".join(cohort.ignored[:_IGNORED_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"ignored {len(cohort.ignored)} file(s): {printable(shown)}"


def report_text(cohort: CheckedCohort) -> str:
    """Cases as a table, remarks, ignored files, and how many faults there are; their lines go to stderr."""
    lines = []
    if cohort.cases:
        lines += _table([_HEADINGS, *map(_row, cohort.cases)])
    if remarks := _remarks(cohort.cases):
        lines += ["", "remarks", *remarks]
    if cohort.ignored:
        lines += ["", ignored_text(cohort)]
    summary = f"{len(cohort.cases)} case(s) accepted, {len(cohort.faults)} fault(s)"
    return "\n".join([*lines, "", summary]).lstrip("\n")


def report_json(cohort: CheckedCohort) -> dict[str, Any]:
    """The same for `--json`."""
    cases = []
    for case in cohort.cases:
        facts = case.facts
        cases.append(
            {
                "case_id": case.case_id,
                "patient_id": case.patient_id,
                "shape_zyx": list(case.grid.shape_zyx),
                "spacing_mm_zyx": list(case.grid.spacing_mm_zyx),
                "side": facts.side,
                "sex": facts.sex,
                "age_years": facts.age_years,
                "femur_ml": facts.femur_ml,
                "metal_ml": facts.metal_ml,
                "cut_off": list(facts.cut_off),
                "remarks": list(case.remarks),
            }
        )
    return {"cases": cases, "faults": [fault.as_dict() for fault in cohort.faults], "ignored": list(cohort.ignored)}
