"""Take damaged files through a user's door, one after the other, and say what came of each and what it cost.

Run as a process of its own, so that a crash, a hang or a flood of memory hits nobody else:
`python -m fuzz.worker [["NPY", 0, 10], …]` in `tests/support` prints a line of JSON before and after each seed.
"""

import hashlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import zlib
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from fuzz.carriers import CARRIERS, Carrier, packed, unpacked
from fuzz.mutations import mutated

from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import ArraySettings, CohortSettings
from femseg.cohorts.split import SplitSettings
from femseg.errors import Refusal
from femseg.intake.check import check_cohort
from femseg.intake.cost import check_memory_bytes
from femseg.intake.single_ct import inspect_study
from femseg.layouts.detect import studies_of
from femseg.phantom import PhantomSettings
from femseg.settings import as_plain, read_section

_ADDRESS_SPACE_BYTES = 16 << 30  # beyond it an allocation fails, so that a bomb cannot take the machine with it


MOVED_MM = 0.001  # a voxel that lies elsewhere; below it, single precision and tolerances play


def fingerprint(carrier: Carrier, target: Path, root: Path) -> dict[str, Any]:
    """What goes in through the door, part by part; raises Refusal where nothing does."""
    if carrier.door == "settings":
        sections = (CohortSettings, PhantomSettings, ArraySettings, SplitSettings)
        names = ("cohort", "phantom", "arrays", "split")
        read = [read_section(kind, name, file=target) for kind, name in zip(sections, names, strict=True)]
        return {"settings": json.dumps([as_plain(section) for section in read])}
    if carrier.door == "study":
        case, ct = inspect_study(target, id_key=b"key")
        return {"voxels": _digest(ct.hu_zyx), "geometry": ct.grid, "remarks": repr(case.remarks)}
    settings = CohortSettings(source=carrier.source)
    for study in studies_of(root, settings):
        check_memory_bytes(study)
    cohort = check_cohort(root, settings, id_key=b"key")
    cohort.refuse_faults()
    (case,) = cohort.cases
    ct, mask = read_case_ct(case, root), read_case_mask(case, root)
    return {
        "voxels": _digest(ct.hu_zyx),
        "geometry": ct.grid,
        "mask": _digest(mask.femur_zyx),
        "identity": repr((case.patient_id, case.case_id)),
        "facts": repr(case.facts),
        "remarks": repr((case.remarks, cohort.ignored)),
    }


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()[:16]


def kilobytes(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise KeyError(key)


def _one(
    carrier: Carrier, seed: int, content: bytes, target: Path, root: Path, before: dict[str, Any]
) -> dict[str, Any]:
    rng = np.random.default_rng([zlib.crc32(carrier.name.encode()), seed])
    inside = carrier.packed and rng.random() < 0.7
    raw = unpacked(carrier, content) if inside else content
    fields = carrier.fields(raw) if inside or not carrier.packed else [("gzip", 0, len(raw))]
    damaged, what = mutated(raw, fields, rng)
    target.write_bytes(packed(carrier, damaged) if inside else damaged)
    result: dict = {"seed": seed, "what": what, "same_bytes": damaged == raw}
    Path("/proc/self/clear_refs").write_text("5")
    start = time.process_time()  # the machine may have other work
    try:
        after = fingerprint(carrier, target, root)
        changed = [part for part in after if part != "geometry" and after[part] != before[part]]
        if "geometry" in after:
            result["moved_mm"] = round(after["geometry"].largest_offset_mm(before["geometry"]), 6)
            changed += ["geometry"] * (result["moved_mm"] > MOVED_MM)
        result |= {"outcome": "accepted", "changed": changed}
        if "remarks" in changed:
            result["remarks"] = after["remarks"]
    except Refusal as refusal:
        lines = [str(fault) for fault in refusal.faults]
        result |= {"outcome": "refused", "ids": sorted({fault.id for fault in refusal.faults})}
        result["longest_line"] = max(map(len, lines))
        result["odd_lines"] = [line for line in lines if not line.isprintable()]
        result["line"] = lines[0][:400]
    except BaseException as error:
        result |= {"outcome": "traceback", "error": f"{type(error).__name__}: {str(error)[:200]}"}
        result["trace"] = traceback.format_exc()[-1500:]
    result["seconds"] = round(time.process_time() - start, 4)
    result["peak_kb"] = kilobytes("VmHWM")
    return result


def _sabotaged(seed: int) -> None:
    """Die or hang at the seeds that a test of the runs themselves asks for: "2 die 4 hang"."""
    words = os.environ.get("FEMSEG_FUZZ_SABOTAGE", "").split()
    for chosen, deed in zip(words[::2], words[1::2], strict=True):
        if seed == int(chosen):
            os.kill(os.getpid(), signal.SIGSEGV if deed == "die" else signal.SIGSTOP)


def main(jobs: list[tuple[str, int, int]]) -> None:
    """Of each job's carrier, the seeds from the first up to, not including, the last."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    report = os.fdopen(os.dup(1), "w", buffering=1)
    noise = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
    for stream in (1, 2):
        os.dup2(noise.fileno(), stream)
    for name, first, last in jobs:
        (carrier,) = [carrier for carrier in CARRIERS if carrier.name == name]
        with tempfile.TemporaryDirectory() as folder:
            _seeds(carrier, first, last, Path(folder) / "cohort", report, noise)


def _seeds(carrier: Carrier, first: int, last: int, root: Path, report: TextIO, noise: BinaryIO) -> None:
    target = carrier.make(root)
    content = target.read_bytes()
    try:
        before = fingerprint(carrier, target, root)
    except Refusal as refusal:  # a lone slice and NPY are refused from the start
        before = dict.fromkeys(("voxels", "geometry", "remarks", "mask", "identity", "facts"), str(refusal))
    baseline = kilobytes("VmRSS")
    for seed in range(first, last):
        print(json.dumps({"started": seed}), file=report)
        heard = noise.tell()
        _sabotaged(seed)
        result = _one(carrier, seed, content, target, root, before)
        result["peak_mb"] = round((result.pop("peak_kb") - baseline) / 1024, 1)
        sys.stdout.flush()
        sys.stderr.flush()
        if (end := os.lseek(noise.fileno(), 0, os.SEEK_END)) > heard:
            noise.seek(heard)
            result["noise"] = noise.read(end - heard).decode(errors="replace")[:500]
        print(json.dumps(result), file=report)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
