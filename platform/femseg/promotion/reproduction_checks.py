"""Do the saved masks belong to the stored package, and is it quick and small enough?"""

from collections.abc import Iterator

from femseg.metrics.overlap import Overlap
from femseg.promotion.decision import Check
from femseg.promotion.reproduction import Reproduction
from femseg.promotion.rules import PromotionRules
from femseg.promotion.saved_predictions import SavedPredictions
from femseg.promotion.test_set import FrozenTestSet


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
