"""The gate's evidence, gathered: a version of the registry against the rules, its own files and the champion."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Refusal
from femseg.gate.audit import Entry, altered
from femseg.gate.decision import Check, Decision
from femseg.gate.origin_checks import RunFacts, lineage_checks, run_checks, validation_check, wanted_iterations
from femseg.gate.reproduction import Reproduction, reproduce, reproduction_checks
from femseg.gate.rules import PromotionRules
from femseg.gate.saved_predictions import SavedPredictions
from femseg.gate.score_checks import acceptable_checks, non_inferiority_check, recomputed, recorded_checks
from femseg.gate.test_set import FrozenTestSet, read_test_set
from femseg.metrics.scorecard import CaseScore, read_scores
from femseg.networks.package_files import PackageFiles
from femseg.paths import MANIFEST, SPLIT
from femseg.progress import progress
from femseg.services.registry.aliases import CHAMPION, DECISION_TAG, alias_holder
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.predictions import TAG, predictions_of
from femseg.services.registry.versions import registered_files, registered_version, stored_package
from femseg.settings import as_plain

_CURVE = "train_dice_loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateContext:
    """Where versions are judged.

    Attributes:
        client: of the registry.
        rules: promotion.yaml.
        manifest, split: of the cohort at hand.
        test_set: read from these.
        scratch: a folder for what is brought here; gone afterwards.
    """

    client: MlflowClient
    rules: PromotionRules
    manifest: Path
    split: Path
    test_set: FrozenTestSet
    scratch: Path

    def version(self, number: int) -> ModelVersion:
        """A version of the registered model."""
        return registered_version(self.client, _uri(number))

    def predicted_again(self, version: ModelVersion) -> Reproduction:
        """What a version's stored package makes of the test cases now."""
        return reproduce(
            stored_package(
                self.client, version, _uri(version.version), into=self.scratch / f"package-{version.version}"
            ),
            self.manifest,
            self.split,
            self.scratch / f"again-{version.version}",
            cases=len(self.test_set.cases),
            seconds_per_case=self.rules.limits.seconds_per_case,
        )

    def saved(self, version: ModelVersion) -> SavedPredictions:
        """What a version's registered predictions are."""
        return predictions_of(self.client, version, self.scratch / f"saved-{version.version}")


def judge(
    client: MlflowClient, number: int, rules: PromotionRules, *, manifest: Path = MANIFEST, split: Path = SPLIT
) -> Decision:
    """Look at everything that stands for or against a version. Changes nothing.

    Raises: Refusal RG-12 (exit 2) if there is no such version, ST-02 or ST-05 (exit 4) if the test cases at hand are
        not the ones that were checked.
    """
    test_set = read_test_set(manifest, split)
    with tempfile.TemporaryDirectory(prefix="femseg-gate-") as scratch:
        context = GateContext(
            client=client, rules=rules, manifest=manifest, split=split, test_set=test_set, scratch=Path(scratch)
        )
        version, champion = context.version(number), alias_holder(client, CHAMPION)
        with progress(f"judge version {number}", total=4) as advance:
            checks, package = _origin(context, version)
            advance(1, "where it comes from")
            if package is not None:
                checks += _evidence(context, version, package, trusted=_all_passed(checks), champion=champion)
            advance(4, "done")
    return Decision(
        version=number,
        champion=champion,
        package_sha256=version.tags.get("package_sha256", ""),
        predictions_sha256=version.tags.get(TAG, ""),
        test_set_sha256=test_set.sha256,
        rules=as_plain(rules),
        checks=tuple(checks),
    )


def written_decision(client: MlflowClient, entry: Entry) -> dict[str, Any]:
    """The decision that an entry of the audit log stands for. Raises: Refusal RG-09 (exit 4) if it was altered."""
    tag, uri = DECISION_TAG.format(entry.number), _uri(entry.version)
    text = registered_version(client, uri).tags.get(tag, "")
    if hashlib.sha256(text.encode()).hexdigest() != entry.decision_sha256:
        raise altered(f"{uri}, tag {tag}", "is not the decision that the audit log names")
    plain: dict[str, Any] = json.loads(text)
    return plain


def _uri(number: int | str) -> str:
    return f"models:/{MODEL_NAME}/{number}"


def _refused(refusal: Refusal, name: str, expected: str, fault_id: str = "") -> Check:
    """A check that failed because something could not be read."""
    fault = refusal.faults[0]
    found = f"{Path(fault.file).name}: {fault.problem}"  # where it was brought to is gone afterwards
    return Check(id=fault_id or fault.id, name=name, passed=False, found=found, expected=expected, fix=fault.fix)


def _origin(context: GateContext, version: ModelVersion) -> tuple[list[Check], PackageFiles | None]:
    """Where the version comes from; without a package there is nothing else to look at."""
    run, sha256 = _run_facts(context.client, str(version.run_id)), version.tags.get("package_sha256", "")
    try:
        package = registered_files(context.client, _uri(version.version))
    except Refusal as refusal:
        failed = _refused(refusal, "stored package", "whole, and the one that was registered", "RG-01")
        return [*run_checks(run, package_sha256=sha256, max_iterations=None), failed], None
    checks = [
        *run_checks(run, package_sha256=package.sha256, max_iterations=wanted_iterations(package.model)),
        *lineage_checks(package.lineage, package.model, context.test_set, clean_commit=context.rules.clean_commit),
        validation_check(package.model),
    ]
    return checks, package


def _run_facts(client: MlflowClient, run_id: str) -> RunFacts:
    try:
        run = client.get_run(run_id)
        curve = client.get_metric_history(run_id, _CURVE)
    except MlflowException:
        return RunFacts(status="", package_sha256="", iterations=0, metrics={})
    return RunFacts(
        status=str(run.info.status) if run.info.lifecycle_stage == "active" else "deleted",
        package_sha256=run.data.tags.get("package_sha256", ""),
        iterations=max((point.step for point in curve), default=0),
        metrics=run.data.metrics,
    )


def _evidence(
    context: GateContext, version: ModelVersion, package: PackageFiles, *, trusted: bool, champion: int | None
) -> list[Check]:
    """Its saved masks: whole, of this package and these cases, truly scored, good enough, no worse than the champion.

    A package whose origin or records are in doubt is not run.
    """
    checks: list[Check] = []
    try:
        saved = context.saved(version)
        checks += [
            _belongs("package of the predictions", saved.package_sha256, package.sha256),
            _belongs("test cases of the predictions", saved.test_set_sha256, context.test_set.sha256),
        ]
        if not _all_passed(checks):
            return checks
        scores = recomputed(context.test_set, saved.femur_zyx)
        metrics = _run_facts(context.client, str(version.run_id)).metrics
        checks += recorded_checks(scores, read_scores(saved.scores), metrics)
    except Refusal as refusal:
        if refusal.faults[0].id == "ST-05":  # the reference masks at hand, no fault of the version
            raise
        return [*checks, _refused(refusal, "saved predictions", "readable, whole, as they were registered", "RG-03")]
    trusted = trusted and _all_passed(checks)
    checks += acceptable_checks(scores, context.test_set, context.rules)
    if trusted:
        again = list(reproduction_checks(context.predicted_again(version), saved, context.test_set, context.rules))
        checks += again
        if again[0].passed and champion not in (None, int(version.version)):
            checks.append(_against(context, int(champion or 0), scores))
    return checks


def _all_passed(checks: Sequence[Check]) -> bool:
    return all(check.passed for check in checks)


def _belongs(name: str, found: str, expected: str) -> Check:
    return Check(
        id="RG-04",
        name=name,
        passed=found == expected,
        found=found[:12],
        expected=f"{expected[:12]}, which is at hand",
        fix="run `dvc repro evaluate` and `make register` again",
    )


def _against(context: GateContext, champion: int, scores: Sequence[CaseScore]) -> Check:
    """The comparison with the champion: its package segments the same cases now, whatever was saved of it once."""
    name, expected = f"champion version {champion}", "a package that can be compared with"
    try:
        held = context.version(champion)
        registered_files(context.client, _uri(champion))
        again = context.predicted_again(held)
    except Refusal as refusal:
        return _refused(refusal, name, expected, "RG-02")
    if again.failure:
        fix = "roll back to a version that works (`femseg rollback`)"
        return Check(id="RG-02", name=name, passed=False, found=again.failure, expected=expected, fix=fix)
    theirs = recomputed(context.test_set, lambda case: again.femur_zyx(case.case_id))
    return non_inferiority_check(theirs, scores, context.rules.non_inferiority, version=champion)
