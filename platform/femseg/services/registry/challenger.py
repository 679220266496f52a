"""The alias challenger: it goes to a version that is better by validation, or to where a person puts it."""

from dataclasses import dataclass

from mlflow.tracking import MlflowClient

from femseg.errors import Refusal
from femseg.networks.package_files import TrainingMetrics, read_package_files
from femseg.services.registry.aliases import CHAMPION, alias_holder, set_alias
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import CHALLENGER, registered_version, stored_package


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """A version, the validation of its finest network, and what that was measured on: cohort, split and scale."""

    version: int
    metrics: TrainingMetrics
    cases: tuple[str | None, ...]

    def __str__(self) -> str:
        return f"version {self.version} ({self.metrics})"


def validated(client: MlflowClient, version: int) -> Validated:
    """What a version's package says. Raises: Refusal if it is gone or not whole."""
    uri = f"models:/{MODEL_NAME}/{version}"
    files = read_package_files(stored_package(client, registered_version(client, uri), uri))
    cases = [files.lineage.sha256.get(name) for name in ("manifest", "split")]
    scale = "refine" if files.model.refine else "find"  # a Dice on patches and one on whole scans do not compare
    return Validated(version=version, metrics=files.model.finest.metrics, cases=(*cases, scale))


def propose(client: MlflowClient, version: int) -> str:
    """Make a version challenger if it is better by validation than the challenger, or than the champion without one.

    Returns: in words, who is challenger now and why.
    """
    challenger, champion = alias_holder(client, CHALLENGER), alias_holder(client, CHAMPION)
    if version == challenger:
        return f"version {version} is {CHALLENGER}"
    if version == champion:
        return f"version {version} is {CHAMPION}"
    standing = CHALLENGER if challenger is not None else CHAMPION
    ours, other = validated(client, version), challenger if challenger is not None else champion
    try:
        theirs = None if other is None else validated(client, other)
    except Refusal:  # gone, or not whole: nothing to keep
        theirs = None
    if theirs is None or _is_better(ours, theirs):
        set_alias(client, CHALLENGER, version)
        instead = f", better than {standing} {theirs}" if theirs else ""
        return f"{CHALLENGER} is {ours}{instead}"
    comparable = ours.cases == theirs.cases
    why = "is no better by validation" if comparable else "was validated on other cases or at another scale"
    return f"{standing} stays {theirs}; {ours} {why}: `femseg challenger {version}` makes it {CHALLENGER} all the same"


def nominate(client: MlflowClient, version: int) -> str:
    """Make a version challenger because somebody says so; returns in words what changed."""
    before, ours = alias_holder(client, CHALLENGER), validated(client, version)
    set_alias(client, CHALLENGER, version)
    was = f"; it was version {before}" if before not in (None, version) else ""
    return f"{CHALLENGER} is {ours}{was}"


def _is_better(ours: Validated, theirs: Validated) -> bool:
    now, before = ours.metrics.validation_dice, theirs.metrics.validation_dice
    if now is None or before is None:
        return before is None and now is not None
    return ours.cases == theirs.cases and now > before
