"""`femseg make-fault`: a small study with a known fault, to see what femseg or another program says of it."""

import difflib
import json
import shlex
from pathlib import Path
from typing import Any

from femseg.cohorts.settings import StructureNames
from femseg.cohorts.specimens.catalogue import BY_KIND, CATALOGUE
from femseg.cohorts.specimens.specimen import Specimen
from femseg.errors import ExitCode, Fault, Refusal

_OPTIONS = {
    "mask": "--mask",
    "series": "--series",
    "accept_hu": "--accept-hu",
    "accept_frame": "--accept-frame",
    "regularise": "--regularise",
    "untilt": "--untilt",
}


def list_kinds(*, as_json: bool) -> None:
    """Print every kind with its case of the matrix, what femseg is to say, and what it is."""
    if as_json:
        print(json.dumps([_as_dict(specimen) for specimen in CATALOGUE], indent=2, ensure_ascii=False))
        return
    rows = [(s.kind, s.matrix_id, _expected(s), s.about) for s in CATALOGUE]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))


def make_kind(kind: str, out: Path | None, *, as_json: bool) -> None:
    """Write a specimen into a new or empty folder and say what to expect of it.

    Raises: Refusal (exit 2) if there is no such kind or the folder holds something; (exit 5) if it cannot be written.
    """
    specimen = BY_KIND.get(kind)
    if specimen is None:
        near = difflib.get_close_matches(kind, BY_KIND, n=3, cutoff=0.4)
        fix = f"choose one: {', '.join(near)}; " if near else ""
        raise _usage("KIND", f"there is no kind '{kind}'", f"{fix}`femseg make-fault --list` shows all")
    if out is None:
        raise _usage("OUT", "no folder is given", f"`femseg make-fault {kind} some/new/folder`")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise _usage(str(out), "is not an empty folder", "name a new one; nothing is ever written over")
        out.mkdir(parents=True, exist_ok=True)
        specimen.make(out)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        fix = "name a folder on a disk with space and rights"
        raise Refusal(Fault(id="ST-06", file=str(out), problem=problem, fix=fix, exit_code=ExitCode.RESOURCE)) from None
    command = _command(specimen, out)
    if as_json:
        print(json.dumps({**_as_dict(specimen), "folder": str(out), "command": command}, indent=2, ensure_ascii=False))
        return
    print(f"made      {out}: {specimen.about} ({specimen.matrix_id})")
    print(f"expected  {_expected(specimen)}")
    print(f"try       {command}")


def _usage(file: str, problem: str, fix: str) -> Refusal:
    return Refusal(Fault(id="CFG-01", file=file, problem=problem, fix=fix, exit_code=ExitCode.USAGE))


def _expected(specimen: Specimen) -> str:
    if specimen.expected == "refused":
        return f"refused: {', '.join(specimen.faults)} (exit {specimen.exit_code})"
    return specimen.expected


def _command(specimen: Specimen, out: Path) -> str:
    """The check that is to come out as expected. Settings that have no option of their own are named behind it."""
    words, behind = ["femseg", "check", str(out)], []
    for name, value in specimen.settings.items():
        if isinstance(value, StructureNames):
            sides = {"femur": value.femur, "left": value.left, "right": value.right}
            words += [
                word for side, names in sides.items() for one in names for word in ("--structure", f"{side}={one}")
            ]
        elif name not in _OPTIONS:
            behind.append(f"cohort.{name}: {value}")
        elif value is True:
            words.append(_OPTIONS[name])
        else:
            for one in [value] if isinstance(value, str) else value:
                words += [_OPTIONS[name], str(one)]
    return shlex.join(words) + (f"  # with {'; '.join(behind)}" if behind else "")


def _as_dict(specimen: Specimen) -> dict[str, Any]:
    return {
        "kind": specimen.kind,
        "matrix_id": specimen.matrix_id,
        "about": specimen.about,
        "expected": specimen.expected,
        "exit_code": specimen.exit_code,
        "faults": list(specimen.faults),
        "settings": {name: str(value) for name, value in specimen.settings.items()},
    }
