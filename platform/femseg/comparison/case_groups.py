"""Groups of cases by what the manifest knows about them."""

from collections import Counter
from collections.abc import Iterable, Mapping

from femseg.cohorts.case import Case

_METAL_ML = 0.1  # from here intake remarks on it; less is dense cortical bone or noise
_SEX = {"F": "female", "M": "male", "O": "other"}

CaseGroups = Mapping[str, Mapping[str, str]]


def case_groups(cases: Iterable[Case]) -> CaseGroups:
    """Trait → case id → group: side, sex, scanner, implant, cut-off bone; a case about which nobody said is in none.

    A trait that puts all cases into one group is left out: it divides nothing.
    """
    groups: dict[str, dict[str, str]] = {"side": {}, "sex": {}, "scanner": {}, "implant": {}, "femur": {}}
    for case in cases:
        facts = case.facts
        if facts.side is not None:
            groups["side"][case.case_id] = facts.side
        if facts.sex is not None:
            groups["sex"][case.case_id] = _SEX[facts.sex]
        if facts.scanner is not None:
            groups["scanner"][case.case_id] = facts.scanner
        groups["implant"][case.case_id] = "metal" if facts.metal_ml >= _METAL_ML else "no metal"
        groups["femur"][case.case_id] = "cut off" if facts.cut_off else "whole"
    return {trait: by_case for trait, by_case in groups.items() if len(set(by_case.values())) > 1}


def patients_with_several(cases: Iterable[Case]) -> int:
    """How many patients have more than one of these cases, for instance both femurs: such cases are alike."""
    return sum(count > 1 for count in Counter(case.patient_id for case in cases).values())
