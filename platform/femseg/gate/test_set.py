"""The test cases that every version is judged on, under one fingerprint: what changes them is seen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from femseg.cohorts.case import Case
from femseg.cohorts.manifest import cohort_root, read_manifest
from femseg.cohorts.split import Split, read_split
from femseg.comparison.subgroups import CaseGroups, case_groups
from femseg.errors import Refusal
from femseg.files.durable import sha256_of_file, sha256_of_json
from femseg.paths import MANIFEST, SPLIT


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenTestSet:
    """The split's test cases.

    Attributes:
        cases: by ascending case id.
        root: folder that the cases' files count from.
        split: all three parts.
        manifest_sha256: of the cohort's manifest, as lineage.json names it.
        groups: trait → case id → group.
        not_apart: test cases whose patient is in another part too, or whose CT is another case's as well.
    """

    cases: tuple[Case, ...]
    root: Path
    split: Split
    manifest_sha256: str
    groups: CaseGroups
    not_apart: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Which CTs and which reference masks, by the hashes of their files and what counts as femur in them."""
        return sha256_of_json(
            {
                case.case_id: {
                    "ct": [file.sha256 for file in case.ct.files],
                    "mask": [file.sha256 for file in case.mask.files] if case.mask else [],
                    "labels": list(case.mask.labels) if case.mask else [],
                    "femur": case.femur,
                }
                for case in self.cases
            }
        )


def read_test_set(manifest: Path = MANIFEST, split: Path = SPLIT) -> FrozenTestSet:
    """Read it from the cohort's manifest and the split.

    Raises: Refusal (exit 4) if either is missing or torn, or the split names cases that the manifest has not.
    """
    whole, parts = read_manifest(manifest), read_split(split)
    by_id = {case.case_id: case for case in whole.cases}
    if unknown := [case_id for case_id in parts.test if case_id not in by_id]:
        problem = f"names test cases that {manifest} has not: {', '.join(unknown[:5])}"
        fix = "run `dvc repro split`"
        raise Refusal.of("ST-02", split, problem, fix)
    cases = tuple(by_id[case_id] for case_id in parts.test)
    return FrozenTestSet(
        cases=cases,
        root=cohort_root(whole, manifest),
        split=parts,
        manifest_sha256=sha256_of_file(manifest),
        groups=case_groups(cases),
        not_apart=_not_apart(cases, [by_id[id_] for id_ in (*parts.train, *parts.validation) if id_ in by_id]),
    )


def _not_apart(tested: Sequence[Case], others: Sequence[Case]) -> tuple[str, ...]:
    """Whom a test says less about than it seems to: the network met the patient, or the case is counted twice."""
    known = {case.patient_id for case in others}
    cts = Counter(tuple(file.sha256 for file in case.ct.files) for case in (*tested, *others))
    return tuple(
        case.case_id
        for case in tested
        if case.patient_id in known or cts[tuple(file.sha256 for file in case.ct.files)] > 1
    )
