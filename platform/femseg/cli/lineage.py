"""`femseg lineage`: where an output, a package or a version comes from, and what came of it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from femseg.comparison.wording import input_name
from femseg.lineage.materials import Link
from femseg.lineage.output_links import Output
from femseg.services.lineage.replay import Replay, replay
from femseg.services.lineage.trace import Trace, required_registry, trace
from femseg.services.registry.model_name import named_model
from femseg.services.registry.predictions import bring_card

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
            print(f"  made by the model, {input_name(mode)}")
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


def say_replay(version: str, *, into: Path | None, as_json: bool) -> int:
    """Replay and print; returns the exit code: 4 if a mask differs."""
    uri = named_model(version)
    done = replay(required_registry(uri).client, uri, repository=Path(), into=into)
    if as_json:
        print(json.dumps(done.as_plain(), indent=2))
    else:
        _print_replay(done)
    for fault in done.faults:
        print(fault, file=sys.stderr)
    return int(done.faults[0].exit_code) if done.faults else 0


def _print_replay(done: Replay) -> None:
    print(f"{done.uri}, evaluated again with the code of {done.commit[:12]}")
    for name, (then, now) in done.other_software.items():
        print(f"  {name} was {then}, is {now}")
    print(f"  {'case':20} {'grid':8} {'Dice then':>9} {'now':>7}  masks")
    for case in done.cases:
        then, now = (f"{dice:.4f}" if dice is not None else "–" for dice in (case.dice_before, case.dice_now))
        between = "" if case.dice_between is None or case.same else f", Dice between them {case.dice_between:.4f}"
        voxels = f": {case.differing_voxels} voxels{between}" if case.differing_voxels else ""
        print(f"  {case.case_id:20} {case.grid:8} {then:>9} {now:>7}  {case.verdict}{voxels}")
    same = sum(case.same for case in done.cases)
    print(f"{same} of {len(done.cases)} masks are the same")


def write_card_of(version: str, folder: Path, *, as_json: bool) -> None:
    """Bring the card of a version into a folder and say which files there are."""
    uri = named_model(version)
    files = bring_card(required_registry(uri).client, uri, folder)
    if as_json:
        print(json.dumps({"version": uri, "files": [str(file) for file in files]}, indent=2))
        return
    for file in files:
        if file.suffix in (".html", ".md"):
            print(file)
