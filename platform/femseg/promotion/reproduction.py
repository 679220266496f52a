"""The stored package segments the test cases once more, in a process of its own: do its masks belong to it, how fast is
it, and how much memory does it take?

python -m femseg.promotion.reproduction PACKAGE MANIFEST SPLIT OUT
"""

import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.reading import read_case_ct
from femseg.door import door
from femseg.durable import read_json, write_json_durably
from femseg.inference.segment import segment
from femseg.networks.package import load_package
from femseg.promotion.test_set import read_test_set

_STARTING_S = 120.0
_SLACK = 3.0  # beyond the limit, so that a slow model is measured rather than cut off
_RESULT = "reproduction.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What the package did.

    Attributes:
        folder: holds `<case_id>.npy`, bool, on the CT's grid.
        seconds: by case id, from the CT in memory to the mask.
        memory_mib: peak of the whole process.
        failure: why it ended early; "" if it did not.
    """

    folder: Path
    seconds: dict[str, float]
    memory_mib: float
    failure: str = ""

    def femur_zyx(self, case_id: str) -> NDArray[np.bool_]:
        """The femur of a case, on its CT's grid."""
        return np.asarray(np.load(self.folder / f"{case_id}.npy", allow_pickle=False), dtype=np.bool_)


def reproduce(
    package: Path, manifest: Path, split: Path, out: Path, *, cases: int, seconds_per_case: float
) -> Reproduction:
    """Run the process, within bounds: start-up, then three times the limit for each case."""
    limit_s = _STARTING_S + _SLACK * cases * seconds_per_case
    command = [sys.executable, "-m", "femseg.promotion.reproduction", *map(str, (package, manifest, split, out))]
    out.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return Reproduction(folder=out, seconds={}, memory_mib=0.0, failure=f"no end within {limit_s:.0f} s")
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        failure = f"ended with {done.returncode}: {said[:400]}"
        return Reproduction(folder=out, seconds={}, memory_mib=0.0, failure=failure)
    return Reproduction(folder=out, **read_json(out / _RESULT))


def main(package: Path, manifest: Path, split: Path, out: Path) -> None:
    """Load the package, segment every test case, keep masks, seconds and peak memory."""
    loaded, test_set = load_package(package), read_test_set(manifest, split)
    seconds = {}
    for case in test_set.cases:
        ct = read_case_ct(case, test_set.root)
        started = time.perf_counter()
        mask = segment(loaded, ct, name=case.case_id).mask
        seconds[case.case_id] = time.perf_counter() - started
        np.save(out / f"{case.case_id}.npy", mask.femur_zyx, allow_pickle=False)
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_json_durably(out / _RESULT, {"seconds": seconds, "memory_mib": memory_mib})


if __name__ == "__main__":
    with door():
        main(*map(Path, sys.argv[1:]))
