"""What people did to the registry past the gate, and what is broken in it."""

from collections.abc import Sequence

from mlflow.tracking import MlflowClient

from femseg.errors import Fault, Refusal
from femseg.gate.audit import Entry, allowed_package, standing
from femseg.services.registry.aliases import CHAMPION, PREVIOUS, alias_holder, locked_registry, moved_by_hand
from femseg.services.registry.audit_log import audit_log
from femseg.services.registry.model_name import IN_USE, MODEL_NAME
from femseg.services.registry.shipped import InUse, is_model_shipped, shipped_for_use
from femseg.services.registry.versions import (
    CHALLENGER,
    load_registered,
    registered_files,
    registered_version,
    versions,
)


def registry_faults(client: MlflowClient) -> Sequence[Fault]:
    """Everything that is wrong: the log, the aliases against it, versions that are gone, packages that are not intact.

    A promotion that was interrupted is brought to its end first.
    """
    try:
        with locked_registry(client) as registry:
            log = registry.log
    except Refusal as refusal:
        return refusal.faults
    holders = standing(log).holders
    faults = []
    if (found := alias_holder(client, CHAMPION)) != holders.champion:
        faults.append(moved_by_hand(found, holders.champion))
    if (found := alias_holder(client, PREVIOUS)) != holders.previous:
        faults.append(_previous_moved(found, holders.previous))
    for alias in (CHAMPION, PREVIOUS, CHALLENGER):
        faults += _alias_faults(client, alias)
    return faults + _swapped_package(client, log)


def load_for_use(client: MlflowClient, uri: str) -> InUse:
    """Load a registered model as `load_registered` does.

    Args:
        uri: `IN_USE` is the champion; the installation's own model while there is none, or where it saw phantoms alone;
            the challenger in an installation without one.
    """
    remarks: tuple[str, ...] = ()
    if uri == IN_USE:
        alias = CHAMPION if alias_holder(client, CHAMPION) is not None else CHALLENGER
        uri = f"{uri}@{alias}"
        of_phantoms = alias == CHAMPION and registered_files(client, uri).model.of_phantoms
        if is_model_shipped() and (alias == CHALLENGER or of_phantoms):
            return shipped_for_use("the champion saw phantoms alone" if of_phantoms else "there is no champion")
        if alias == CHALLENGER:
            remarks = ("RG-15: there is no champion; this is the challenger, which the gate has not allowed",)
    package = load_registered(client, uri)
    if uri.endswith(f"@{CHAMPION}"):
        remarks = champion_remarks(client)
    version = int(registered_version(client, uri).version)
    alias = f", {uri.partition('@')[2]}" if "@" in uri else ""
    return InUse(package, (*remarks, *package.remarks), f"models:/{MODEL_NAME}/{version}{alias}")


def champion_remarks(client: MlflowClient) -> tuple[str, ...]:
    """What whoever loads the champion must know: that the gate did not allow it, or that nobody can tell."""
    try:
        log = audit_log(client).read()
    except Refusal as refusal:
        return tuple(f"{fault.id}: {fault.file}: {fault.problem}" for fault in refusal.faults)
    said = standing(log)
    found = alias_holder(client, CHAMPION)
    allowed = {said.holders.champion} | ({said.begun.after.champion} if said.begun else set())  # two during a move
    faults = [] if found in allowed else [moved_by_hand(found, said.holders.champion)]
    return tuple(f"{fault.id}: {fault.file} {fault.problem}" for fault in (*faults, *_swapped_package(client, log)))


def _alias_faults(client: MlflowClient, alias: str) -> list[Fault]:
    """RG-11: an alias without a version. RG-07: a version whose package is not intact."""
    version = alias_holder(client, alias)
    if version is None:
        return []
    uri = f"models:/{MODEL_NAME}@{alias}"
    try:
        registered_files(client, uri)
    except Refusal as refusal:
        first = refusal.faults[0]
        if first.id == "RG-12":
            problem = f"points at version {version}, which cannot be loaded: {first.problem}"
            return [Fault("RG-11", uri, problem, "`femseg rollback`, or register the package again")]
        return list(refusal.faults)
    return []


def _swapped_package(client: MlflowClient, log: Sequence[Entry]) -> list[Fault]:
    """RG-07: the champion's version holds another package than the one that the gate judged."""
    version = alias_holder(client, CHAMPION)
    if version is None or (allowed := allowed_package(log, version)) is None:
        return []
    held = versions(client).get(version)
    found = held.tags.get("package_sha256", "") if held else ""
    if held is None or found == allowed:
        return []
    problem = f"names the package {found[:12]}, the gate allowed {allowed[:12]}"
    fix = "`femseg rollback`, and find out who changed it"
    return [Fault("RG-07", f"models:/{MODEL_NAME}@{CHAMPION}", problem, fix)]


def _previous_moved(found: int | None, allowed: int | None) -> Fault:
    problem = f"is version {found}, the gate left it at version {allowed}"
    fix = "the next `femseg promote` or `femseg rollback` goes by the gate's log, and sets it right"
    return Fault("RG-06", f"models:/{MODEL_NAME}@{PREVIOUS}", problem, fix)
