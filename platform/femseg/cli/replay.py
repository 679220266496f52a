"""`femseg replay`: a version evaluated again from what its lineage names."""

import json
import sys
from pathlib import Path

from femseg.services.replay import Replay, replay
from femseg.services.tracing import required_registry, required_version


def say_replay(version: str, *, into: Path | None, as_json: bool) -> int:
    """Replay and print; returns the exit code: 4 if a mask differs."""
    uri = required_version(version)
    done = replay(required_registry(uri).client, uri, repository=Path(), into=into)
    if as_json:
        print(json.dumps(done.as_plain(), indent=2))
    else:
        _print(done)
    for fault in done.faults:
        print(fault, file=sys.stderr)
    return int(done.faults[0].exit_code) if done.faults else 0


def _print(done: Replay) -> None:
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
