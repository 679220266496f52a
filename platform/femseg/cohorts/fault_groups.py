"""Faults by their cause: one sentence, one fix, and how many studies it concerns."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from femseg.cohorts.checked import CheckedCohort
from femseg.cohorts.fault_kinds import kind_of
from femseg.errors import Fault

_OF_ONE_STUDY = re.compile(r"(?<=--mask )\S+|(?<=--series )\S+|\S*\d\S*")  # names and numbers in a fix


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
        title=kind_of(id_).title,
        fix=fix if len(fixes) == 1 else fix.partition(": ")[0],  # what follows is of one study
        studies=tuple(dict.fromkeys(name for name, _ in members if name)),
        faults=tuple(fault for _, fault in members),
    )
