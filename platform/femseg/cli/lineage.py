"""`femseg lineage`: where an output, a package or a version comes from, and what came of it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from femseg.promotion.links import Link
from femseg.promotion.output_links import Output
from femseg.services.tracing import Trace, trace

_MARKS = {"holds": "✓", "not here": "·", "broken": "✗"}
_MOST_LINES = 6  # of links of one kind, such as the CTs of a cohort


def say_lineage(subject: str, *, below: Path, as_json: bool) -> int:
    """Print the lineage; returns the exit code: 4 if a link is broken."""
    found = trace(subject, below=below)
    if as_json:
        print(json.dumps(found.as_plain(), indent=2))
    else:
        _print(found)
    for fault in found.faults:
        print(fault, file=sys.stderr)
    return int(found.faults[0].exit_code) if found.faults else 0


def _print(found: Trace) -> None:
    print(found.subject)
    modes = list(dict.fromkeys(link.of for link in found.links))
    for mode in modes:
        if mode:
            print(f"  made by the model with {mode} input")
        _print_links([link for link in found.links if link.of == mode], indent="    " if mode else "  ")
    if found.outputs:
        print("  came of it")
        _print_outputs(found.outputs)
    print("✓ compared just now   · not on this machine   ✗ broken")


def _print_links(links: Sequence[Link], *, indent: str) -> None:
    """A line for each link; many alike that hold become one line."""
    width = max(len(_kind(link)) for link in links)
    shown: set[str] = set()
    for link in links:
        alike = [other for other in links if (_kind(other), other.state) == (_kind(link), link.state)]
        if len(alike) > _MOST_LINES and link.state != "broken":
            if _kind(link) + link.state not in shown:
                shown.add(_kind(link) + link.state)
                print(f"{indent}{_MARKS[link.state]} {_kind(link):{width}}  {len(alike)} of them; --json lists each")
            continue
        note = f"  ({link.note})" if link.note else ""
        print(f"{indent}{_MARKS[link.state]} {link.what:{width}}  {link.value or '–'}{note}")


def _kind(link: Link) -> str:
    """What a link is about without the single file or case."""
    return next((kind for kind in ("file", "CT series") if link.what.startswith(kind)), link.what)


def _print_outputs(outputs: Sequence[Output]) -> None:
    for kind in dict.fromkeys(output.kind for output in outputs):
        of_kind = [output for output in outputs if output.kind == kind]
        for output in of_kind[:_MOST_LINES]:
            mark = _MARKS.get(output.state, "·")
            print(f"    {mark} {kind}  {output.path}{' (gone)' if output.state == 'gone' else ''}")
        if len(of_kind) > _MOST_LINES:
            print(f"    … and {len(of_kind) - _MOST_LINES} more; --json lists each")
