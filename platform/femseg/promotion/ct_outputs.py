"""From a CT to what came of it: masks by their records, and the reports and cards that tell of these masks."""

import re
from collections.abc import Mapping
from pathlib import Path

from femseg.durable import read_json, sha256_of_file
from femseg.errors import Refusal
from femseg.promotion.data_links import COHORT
from femseg.promotion.links import Link
from femseg.promotion.output_links import Output, compared_output, files_of, records_below, series_of_cohort
from femseg.promotion.records import OutputRecord

_SERIES = re.compile(r"[0-9a-f]{64}")
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def ct_named(subject: str, root: Path, below: Path) -> tuple[Link, tuple[Output, ...]] | None:
    """What came of the CT that a hash of its series, or a case id of the cohort at hand, names; None if it names none.

    Args:
        root: of the repository, for the cohort's manifest.
        below: where outputs are looked for.
    """
    known = _cohort_at_hand(root)
    if not _SERIES.fullmatch(subject) and not (_CASE.fullmatch(subject) and subject in known):
        return None
    series = known.get(subject, subject)
    case = next((case for case, sha256 in known.items() if sha256 == series), "")
    found = outputs_of_ct(series, below)
    if not case and not found:
        return None
    note = f"{case} of the cohort at hand" if case else "not in the cohort at hand"
    return Link(what="CT series", value=series, state="holds" if case else "not here", note=note), found


def _cohort_at_hand(root: Path) -> Mapping[str, str]:
    try:
        return series_of_cohort(read_json(root / COHORT / "manifest.json"))
    except (Refusal, KeyError, TypeError):
        return {}


def outputs_of_ct(series_sha256: str, folder: Path) -> tuple[Output, ...]:
    """What lies below a folder and was made of a CT: its masks, the evaluations with it, and what tells of those."""
    records = list(records_below(folder))
    evaluations = {sha256_of_file(path) for path, record in records if series_sha256 in record.cts.values()}
    found = []
    for path, record in records:
        cases = [case for case, sha256 in record.cts.items() if sha256 == series_sha256]
        if cases or evaluations & set(record.sources.values()):
            found += [
                compared_output(file, expected, record)
                for file, expected in files_of(path, record).items()
                if _is_about(file, cases, record)
            ]
    return tuple(found)


def _is_about(file: Path, cases: list[str], record: OutputRecord) -> bool:
    """A mask that is named by another case was made of another CT; tables and pages are of all of them."""
    case = file.name.partition(".")[0]
    return case in cases or case not in record.cts
