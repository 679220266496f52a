"""The aliases champion, previous and challenger: moved by the gate alone, one journalled move at a time.

A move is written to the audit log before the alias moves. `champion` moves first, in one transaction of the
registry, so whoever is killed leaves the old one or the new one; the next command brings the rest to its end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import Fault, Refusal
from femseg.gate.audit import Action, Entry, Holders, allowed_package, standing
from femseg.gate.decision import Decision
from femseg.services.registry.audit_log import AuditLog, audit_log, describe, now, who
from femseg.services.registry.lock import registry_lock
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import CHALLENGER, registered_files, versions

CHAMPION, PREVIOUS = "champion", "previous"
DECISION_TAG = "gate.decision.{:06d}"


@dataclass(slots=True, kw_only=True)
class LockedRegistry:
    """The registry while its lock is held: a log that is up to date, and aliases that no other femseg moves."""

    client: MlflowClient
    audit: AuditLog
    log: tuple[Entry, ...]

    @property
    def holders(self) -> Holders:
        """Who holds the aliases as the log says."""
        return standing(self.log).holders

    def write(
        self,
        action: Action,
        version: int,
        words: str,
        *,
        after: Holders | None = None,
        decision: Decision | None = None,
    ) -> None:
        """Append an entry; with a decision, keep the whole of it as a tag of its version."""
        before = self.holders
        entry = Entry(
            number=len(self.log) + 1,
            time=now(),
            by=who(),
            action=action,
            version=version,
            before=before,
            after=after or before,
            words=words,
            package_sha256=decision.package_sha256 if decision else "",
            predictions_sha256=decision.predictions_sha256 if decision else "",
            test_set_sha256=decision.test_set_sha256 if decision else "",
            decision_sha256=decision.sha256 if decision else "",
        )
        if decision is not None:
            tag = DECISION_TAG.format(entry.number)
            self.client.set_model_version_tag(MODEL_NAME, str(version), tag, decision.as_json())
        self.log = self.audit.append(self.log, entry)

    def move(
        self, action: Action, version: int, words: str, *, after: Holders, decision: Decision | None = None
    ) -> None:
        """Write where the aliases go, move them, write that it is done."""
        self.write(action, version, words, after=after, decision=decision)
        self._set_aliases(after)
        self.write("done", version, _who_is_what(after))

    def settle(self) -> None:
        """Bring a move that was interrupted to its end, or note that it never began."""
        begun = standing(self.log).begun
        if begun is None:
            return
        champion = alias_holder(self.client, CHAMPION)
        if champion == begun.after.champion:
            self._set_aliases(begun.after)
            self.write("done", begun.version, f"ended after an interruption: {_who_is_what(begun.after)}")
        elif champion == begun.before.champion:
            self.write("abandoned", begun.version, "interrupted before the alias moved; nothing changed")
        else:
            self.write("abandoned", begun.version, f"interrupted, and the alias was moved by hand to {champion}")

    def _set_aliases(self, holders: Holders) -> None:
        for alias, version in ((CHAMPION, holders.champion), (PREVIOUS, holders.previous)):
            set_alias(self.client, alias, version)
        if alias_holder(self.client, CHALLENGER) == holders.champion:
            set_alias(self.client, CHALLENGER, None)


@contextmanager
def locked_registry(client: MlflowClient) -> Iterator[LockedRegistry]:
    """Take the registry's lock, prove the log, and settle what was interrupted.

    Raises: Refusal RG-05 (exit 8) while another is at work, RG-09 (exit 4) if the log was altered.
    """
    with registry_lock(client):
        audit = audit_log(client)
        registry = LockedRegistry(client=client, audit=audit, log=audit.read())
        audit.keep_head(registry.log)
        audit.keep_copy(registry.log)
        registry.settle()
        try:
            yield registry
        finally:
            describe(client, registry.log)


def alias_holder(client: MlflowClient, alias: str) -> int | None:
    """The version that an alias points at; None if there is no such alias. It may point at a version that is gone."""
    try:
        version = client.get_registered_model(MODEL_NAME).aliases.get(alias)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return None if version is None else int(version)


def set_alias(client: MlflowClient, alias: str, version: int | None) -> None:
    """Point an alias at a version, or remove it; nothing is sent where it is so already."""
    if alias_holder(client, alias) == version:
        return
    if version is None:
        client.delete_registered_model_alias(MODEL_NAME, alias)
    else:
        client.set_registered_model_alias(MODEL_NAME, alias, str(version))


def promote(client: MlflowClient, decision: Decision) -> tuple[Entry, ...]:
    """Write a decision down and do what it says. Returns the log.

    Raises: Refusal (exit 8) with every reason if the decision refuses (RG-01 … RG-10), if the champion is no longer the
        one that was compared with (RG-05), or was set by somebody else (RG-06); RG-07 or RG-12 if the version
        changed or went since it was judged.
    """
    name = f"models:/{MODEL_NAME}/{decision.version}"
    with locked_registry(client) as registry:
        reasons, found = list(decision.faults(name)), alias_holder(client, CHAMPION)
        if found != registry.holders.champion:
            reasons.append(moved_by_hand(found, registry.holders.champion))
        elif found != decision.champion:
            reasons = [_overtaken(name, found, decision.champion)]
        if reasons:
            words = "; ".join(f"{fault.id} {fault.problem}" for fault in reasons)
            registry.write("refuse", decision.version, f"refused: {words}", decision=decision)
            raise Refusal(reasons)
        _require_judged(client, decision.version, decision.package_sha256)  # it may have changed since it was judged
        after = Holders(champion=decision.version, previous=registry.holders.champion)
        registry.move("promote", decision.version, "every check holds", after=after, decision=decision)
        return registry.log


def rollback(client: MlflowClient) -> tuple[Entry, ...]:
    """Give `champion` back to the version before, or to the last that the gate allowed where somebody moved it by hand.

    Where that one is gone from the registry, the one before takes its place; without one there is no champion.

    Returns: the log.
    Raises: Refusal RG-08 (exit 8) if there is none to go back to, RG-07 (exit 4) if its package is not intact.
    """
    with locked_registry(client) as registry:
        after, words = _way_back(client, registry)
        if after.champion is not None:
            _require_judged(client, after.champion, allowed_package(registry.log, after.champion))
        registry.move("rollback", after.champion or registry.holders.champion or 0, words, after=after)
        return registry.log


def _way_back(client: MlflowClient, registry: LockedRegistry) -> tuple[Holders, str]:
    """Who is to hold the aliases, and why. Raises: Refusal RG-08 (exit 8)."""
    allowed = registry.holders
    if allowed.champion is not None and allowed.champion not in versions(client):
        return Holders(champion=allowed.previous), f"version {allowed.champion} is gone from the registry"
    if alias_holder(client, CHAMPION) != allowed.champion:
        return allowed, "undo a move that the gate did not allow"
    if allowed.previous is None:
        problem = f"there is no version to go back to; champion is {_named(allowed.champion)}"
        raise Refusal.of("RG-08", f"models:/{MODEL_NAME}@{PREVIOUS}", problem, "promote another version")
    return Holders(champion=allowed.previous, previous=allowed.champion), f"back from version {allowed.champion}"


def _require_judged(client: MlflowClient, version: int, allowed: str | None) -> None:
    """Raises: Refusal RG-12 if a version is gone, RG-07 if it is not intact, or not the package that was judged."""
    uri = f"models:/{MODEL_NAME}/{version}"
    found = registered_files(client, uri).sha256
    if found != allowed:
        problem = f"holds the package {found[:12]}, the gate allowed {str(allowed)[:12]}"
        fix = "find out who changed it, then promote another version"
        raise Refusal.of("RG-07", uri, problem, fix)


def remove(client: MlflowClient, version: int) -> None:
    """Delete a version that holds no alias.

    Raises: Refusal RG-14 (exit 8) if it holds one, by the registry or by the log.
    """
    with locked_registry(client) as registry:
        model = client.get_registered_model(MODEL_NAME)
        holds = [alias for alias, holder in model.aliases.items() if int(holder) == version]
        holds += [name for name in (CHAMPION, PREVIOUS) if getattr(registry.holders, name) == version]
        if holds:
            fix = "promote another version or roll back first"
            problem = f"holds the alias {' and '.join(sorted(set(holds)))}"
            raise Refusal.of("RG-14", f"models:/{MODEL_NAME}/{version}", problem, fix)
        client.delete_model_version(MODEL_NAME, str(version))
        registry.write("remove", version, "removed from the registry")


def moved_by_hand(found: int | None, allowed: int | None) -> Fault:
    """RG-06: the alias champion is not where the gate put it."""
    problem = f"is {_named(found)}, which the gate did not allow; the last that it allowed is {_named(allowed)}"
    fix = "`femseg rollback` gives the alias back; to keep the other version, promote it after that"
    return Fault("RG-06", f"models:/{MODEL_NAME}@{CHAMPION}", problem, fix)


def _overtaken(name: str, now_champion: int | None, compared_with: int | None) -> Fault:
    problem = f"was compared with {_named(compared_with)} as champion, which is {_named(now_champion)} by now"
    return Fault("RG-05", name, problem, "promote it again")


def _named(version: int | None) -> str:
    return "none" if version is None else f"version {version}"


def _who_is_what(holders: Holders) -> str:
    return f"champion is {_named(holders.champion)}, previous is {_named(holders.previous)}"
