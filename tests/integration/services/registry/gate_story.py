"""One story of a champion, told through any server: promoted twice, refused, given back, killed at each write."""

import subprocess
import sys

import pytest
from tiny_registry import register_candidate, trained, write_candidate, write_cohort

from femseg.errors import Refusal
from femseg.gate.audit import standing
from femseg.gate.rules import Acceptable, PromotionRules
from femseg.services.registry.aliases import CHAMPION, PREVIOUS, alias_holder, locked_registry, promote, rollback
from femseg.services.registry.doctor import registry_faults
from femseg.services.registry.gate import judge

from . import promotion_driver

RULES = PromotionRules(acceptable={"dice": Acceptable(mean=0.6, worst_case=0.5, subgroup_mean=0.6)})


def champion_made_refused_and_given_back(client, experiment_id, folder) -> None:
    """Versions 1 and 2 are promoted, 3 is refused as worse, and 1 is champion again."""
    cohort = write_cohort(folder / "cohort")
    good, worse = trained(cohort), trained(cohort, iterations=10)
    for name, network in (("first", good), ("second", good), ("worse", worse)):
        register_candidate(client, experiment_id, cohort, write_candidate(cohort, folder / name, network))

    def judged(version):
        return judge(client, version, RULES, manifest=cohort.manifest, split=cohort.split)

    for version in (1, 2):
        promote(client, judged(version))
    with pytest.raises(Refusal) as refused:
        promote(client, judged(3))
    assert refused.value.faults[0].id == "RG-02"
    rollback(client)
    assert (alias_holder(client, CHAMPION), alias_holder(client, PREVIOUS)) == (1, 2)
    assert registry_faults(client) == []


def killed_before_each_write(client, uri: str) -> None:
    """After each kill there is a champion, and in the end log and aliases agree."""
    driver = [sys.executable, "-W", "ignore", promotion_driver.__file__, uri, "every"]
    seen = subprocess.run(driver, capture_output=True, text=True, timeout=900)
    assert seen.returncode == 0, seen.stderr[-3000:]
    assert '"after": null' not in seen.stdout
    assert seen.stdout.count('"killed": true') >= 8
    with locked_registry(client) as registry:
        assert standing(registry.log).begun is None
        assert registry.holders.champion == alias_holder(client, CHAMPION)
