"""The stored package segments the test cases once more, in a process of its own: do its masks belong to it, how fast is
it, and how much memory does it take?

python -m femseg.gate.reproduction PACKAGE MANIFEST SPLIT OUT
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from femseg.cohorts.manifest import read_case_ct
from femseg.errors import words_of
from femseg.exits import command_exit
from femseg.files.durable import read_json, write_json_durably
from femseg.gate.decision import Check
from femseg.gate.rules import PromotionRules
from femseg.gate.saved_predictions import SavedPredictions
from femseg.gate.test_set import FrozenTestSet, read_test_set
from femseg.metrics.overlap import Overlap

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
    command = [sys.executable, "-m", "femseg.gate.reproduction", *map(str, (package, manifest, split, out))]
    out.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return Reproduction(folder=out, seconds={}, memory_mib=0.0, failure=f"no end within {limit_s:.0f} s")
    if done.returncode:
        failure = f"ended with {done.returncode}: {words_of(done.stderr)}"
        return Reproduction(folder=out, seconds={}, memory_mib=0.0, failure=failure)
    return Reproduction(folder=out, **read_json(out / _RESULT))


def main(package: Path, manifest: Path, split: Path, out: Path) -> None:
    """Load the package, segment every test case, keep masks, seconds and peak memory."""
    from femseg.inference.segment import segment  # PyTorch, of which the process that judges needs nothing
    from femseg.networks.package import load_package

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
    with command_exit():
        main(*map(Path, sys.argv[1:]))


def reproduction_checks(
    again: Reproduction, saved: SavedPredictions, test_set: FrozenTestSet, rules: PromotionRules
) -> Iterator[Check]:
    """RG-03: what the stored package predicts now is what was saved. RG-10: within the limits."""
    if again.failure:
        yield _agreement(again.failure, rules.agreement, passed=False)
        return
    dice = {
        case.case_id: Overlap.of(saved.femur_zyx(case), again.femur_zyx(case.case_id)).dice for case in test_set.cases
    }
    least = min(dice, key=lambda case: dice[case])
    passed = dice[least] >= rules.agreement
    yield _agreement(f"Dice {dice[least]:.6f} in {least}, the least alike", rules.agreement, passed=passed)
    slowest = max(again.seconds, key=lambda case: again.seconds[case])
    yield Check(
        id="RG-10",
        name="time for one CT",
        passed=again.seconds[slowest] <= rules.limits.seconds_per_case,
        found=f"{again.seconds[slowest]:.2f} s for {slowest}, the slowest",
        expected=f"at most {rules.limits.seconds_per_case:g} s",
        fix="make the network smaller, or raise limits.seconds_per_case",
    )
    yield Check(
        id="RG-10",
        name="memory",
        passed=again.memory_mib <= rules.limits.memory_mib,
        found=f"{again.memory_mib:.0f} MiB",
        expected=f"at most {rules.limits.memory_mib:g} MiB",
        fix="make the network smaller, or raise limits.memory_mib",
    )


def _agreement(found: str, least: float, *, passed: bool) -> Check:
    return Check(
        id="RG-03",
        name="saved masks against the stored package",
        passed=passed,
        found=found,
        expected=f"Dice of at least {least:g} in every case",
        fix="run `dvc repro evaluate` and `make register` again",
    )
