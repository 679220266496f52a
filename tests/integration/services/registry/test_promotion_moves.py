"""The champion moves whole or not at all: through kill -9 at every write, between two who promote at once, past hands
that move the alias themselves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from tiny_model import write_tiny_package

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.gate.audit import Holders, standing
from femseg.gate.decision import Check
from femseg.services.registry.aliases import (
    CHAMPION,
    PREVIOUS,
    alias_holder,
    locked_registry,
    promote,
    remove,
    rollback,
    set_alias,
)
from femseg.services.registry.audit_log import audit_log
from femseg.services.registry.doctor import champion_remarks, load_for_use, registry_faults
from femseg.services.registry.lock import registry_lock
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import CHALLENGER, brought_here, register_package
from femseg.services.tracking.connect import connect, end_run, start_run

from . import promotion_driver

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
DRIVER = Path(promotion_driver.__file__)


def register_three(client, experiment_id, folder):
    """Versions 1 to 3; returns their packages' hashes."""
    hashes = []
    for seed in range(3):
        hashes.append(write_tiny_package(folder / f"package-{seed}", seed=seed))
        run_id = start_run(client, experiment_id, name="train-raw", params={})
        end_run(client, run_id, "FINISHED")
        register_package(client, folder / f"package-{seed}", run_id=run_id, tags={}, input_channels=1)
    set_alias(client, CHALLENGER, 3)
    return hashes


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store with three versions, and their packages' hashes."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        client, experiment_id = connect()
        return folder, register_three(client, experiment_id, folder)


FAILED = Check(
    id="RG-02", name="mean Dice", passed=False, found="0.91 | less", expected="at least 0.93", fix="train it longer"
)


@pytest.fixture
def uri(template, tmp_path, monkeypatch):
    """A copy of that store; its artefacts are shared."""
    shutil.copy2(template[0] / "mlflow.db", tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture
def client(uri, template):
    client, _ = connect()
    client.hashes = template[1]
    return client


def allowed(client, version):
    """A decision that allows a version, against whoever is champion now."""
    return promotion_driver.decision(client, version)


def holders(client) -> Holders:
    return Holders(champion=alias_holder(client, CHAMPION), previous=alias_holder(client, PREVIOUS))


def refusal(call, *args) -> Refusal:
    with pytest.raises(Refusal) as refused:
        call(*args)
    return refused.value


def test_the_story_of_a_champion_is_told_by_aliases_and_log_alike(client):
    assert refusal(rollback, client).faults[0].id == "RG-08"
    promote(client, allowed(client, 1))
    assert holders(client) == Holders(champion=1)
    assert refusal(rollback, client).exit_code == ExitCode.GATE_REFUSED
    promote(client, allowed(client, 2))
    assert holders(client) == Holders(champion=2, previous=1)
    started = time.monotonic()
    rollback(client)
    assert time.monotonic() - started < 60  # the goal is 5 s; benchmarks/gate/promotion_gate.py measures it
    assert holders(client) == standing(audit_log(client).read()).holders == Holders(champion=1, previous=2)
    assert registry_faults(client) == []
    assert champion_remarks(client) == ()
    package, remarks, name = load_for_use(client, f"models:/{MODEL_NAME}")
    assert (package.sha256, remarks, name) == (client.hashes[0], (), f"models:/{MODEL_NAME}/1, champion")


def test_while_there_is_no_champion_nor_a_shipped_model_the_challenger_is_loaded_and_it_is_said(
    client, monkeypatch, tmp_path
):
    monkeypatch.setattr("femseg.services.registry.shipped.SHIPPED_MODEL", tmp_path / "nothing is shipped")
    package, (remark,), name = load_for_use(client, f"models:/{MODEL_NAME}")
    assert (package.sha256, name) == (client.hashes[2], f"models:/{MODEL_NAME}/3, challenger")
    assert "no champion" in remark


def test_an_alias_moved_by_hand_is_noticed_everywhere_and_rollback_undoes_it_RG_06(client):
    promote(client, allowed(client, 1))
    client.set_registered_model_alias(MODEL_NAME, CHAMPION, "3")
    (fault,) = registry_faults(client)
    assert fault.id == "RG-06"
    assert "version 3" in fault.problem
    assert "version 1" in fault.problem
    _, (remark,), _ = load_for_use(client, f"models:/{MODEL_NAME}@{CHAMPION}")
    assert "which the gate did not allow" in remark
    assert {fault.id for fault in refusal(promote, client, allowed(client, 2)).faults} == {"RG-06"}
    rollback(client)
    assert holders(client) == Holders(champion=1)
    assert registry_faults(client) == []


def test_a_champion_set_by_hand_before_the_gate_was_ever_asked_is_taken_back_RG_06(client):
    client.set_registered_model_alias(MODEL_NAME, CHAMPION, "3")
    assert registry_faults(client)[0].id == "RG-06"
    rollback(client)
    assert holders(client) == Holders()


def test_a_version_that_holds_an_alias_is_not_removed_and_another_is_RG_06(client):
    promote(client, allowed(client, 1))
    promote(client, allowed(client, 2))
    for version, alias in ((2, CHAMPION), (1, PREVIOUS), (3, CHALLENGER)):
        assert alias in str(refusal(remove, client, version))
    set_alias(client, CHALLENGER, None)
    remove(client, 3)
    assert {int(v.version) for v in client.search_model_versions(f"name = '{MODEL_NAME}'")} == {1, 2}
    assert audit_log(client).read()[-1].action == "remove"


def test_a_champion_deleted_in_mlflow_itself_is_reported_RG_06(client):
    promote(client, allowed(client, 1))
    client.delete_model_version(MODEL_NAME, "1")
    assert registry_faults(client)[0].id == "RG-06"
    assert "is none" in registry_faults(client)[0].problem


def test_where_the_champion_was_deleted_in_mlflow_rollback_gives_the_alias_to_the_one_before_RG_06(client):
    promote(client, allowed(client, 1))
    promote(client, allowed(client, 2))
    client.delete_model_version(MODEL_NAME, "2")
    rollback(client)
    assert holders(client) == Holders(champion=1)
    assert registry_faults(client) == []
    client.delete_model_version(MODEL_NAME, "1")
    rollback(client)
    assert holders(client) == Holders()
    promote(client, allowed(client, 3))
    assert (holders(client), registry_faults(client)) == (Holders(champion=3), [])


def test_a_version_that_changed_or_went_after_it_was_judged_is_not_promoted_RG_07(client):
    promote(client, allowed(client, 1))
    judged = allowed(client, 2)
    client.set_model_version_tag(MODEL_NAME, "2", "package_sha256", client.hashes[2])
    assert refusal(promote, client, judged).faults[0].id == "RG-07"
    client.delete_model_version(MODEL_NAME, "2")
    gone = refusal(promote, client, judged)
    assert (gone.faults[0].id, gone.exit_code) == ("RG-12", ExitCode.USAGE)
    assert holders(client) == Holders(champion=1)
    assert registry_faults(client) == []


def test_mlflows_own_page_of_the_model_tells_who_is_champion_and_why(client):
    promote(client, allowed(client, 1))
    promote(client, allowed(client, 2))
    refuses = replace(allowed(client, 3), checks=(FAILED,))
    refusal(promote, client, refuses)
    rollback(client)
    page = client.get_registered_model(MODEL_NAME).description
    rows = [line for line in page.splitlines() if line.startswith("| ") and "UTC" not in line]
    assert [row.split(" | ")[2] for row in rows] == [
        f"{action} version {version}"
        for action, version in (("rollback", 1), ("refuse", 3), ("promote", 2), ("promote", 1))
    ]
    assert "2 → 1" in rows[0]
    assert "RG-02" in rows[1]
    assert "0.91 \\| less" in rows[1]
    assert len(page) < 5000


def test_what_people_wrote_on_that_page_stays_RG_06(client):
    promote(client, allowed(client, 1))
    ours = client.get_registered_model(MODEL_NAME).description
    client.update_registered_model(MODEL_NAME, description=f"Ask Ms Kim before you use it.\n\n{ours}")
    promote(client, allowed(client, 2))
    page = client.get_registered_model(MODEL_NAME).description
    assert page.startswith("Ask Ms Kim before you use it.")
    assert (page.count("### The gate"), "promote version 2" in page) == (1, True)
    for length in (4000, 4990):
        client.update_registered_model(MODEL_NAME, description="w" * length)
        rollback(client)
        page = client.get_registered_model(MODEL_NAME).description
        assert page.startswith("w" * length)
        assert len(page) <= 5000


def test_a_previous_whose_package_was_altered_is_not_rolled_back_to_RG_07(client):
    promote(client, allowed(client, 1))
    promote(client, allowed(client, 2))
    stored = brought_here(client, client.get_model_version(MODEL_NAME, "1").source)
    weights = next(stored.rglob("weights.safetensors"))
    good = weights.read_bytes()
    try:
        weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        assert refusal(rollback, client).exit_code == ExitCode.INTEGRITY
        assert holders(client) == Holders(champion=2, previous=1)
        assert registry_faults(client)[0].id == "RG-07"
    finally:
        weights.write_bytes(good)


def test_a_previous_that_holds_an_intact_package_which_the_gate_never_saw_is_not_rolled_back_to_RG_07(client, tmp_path):
    promote(client, allowed(client, 1))
    promote(client, allowed(client, 2))
    stored = next(brought_here(client, client.get_model_version(MODEL_NAME, "1").source).rglob("MANIFEST.json")).parent
    shutil.copytree(stored, tmp_path / "good")
    try:
        swapped = write_tiny_package(stored, seed=7)
        client.set_model_version_tag(MODEL_NAME, "1", "package_sha256", swapped)
        (fault,) = refusal(rollback, client).faults
        assert (fault.id, fault.exit_code) == ("RG-07", ExitCode.INTEGRITY)
        assert swapped[:12] in fault.problem
        assert client.hashes[0][:12] in fault.problem
        assert holders(client) == Holders(champion=2, previous=1)
    finally:
        shutil.copytree(tmp_path / "good", stored, dirs_exist_ok=True)


def test_a_champion_whose_package_and_tag_were_swapped_is_reported_RG_07(client):
    promote(client, allowed(client, 1))
    client.set_model_version_tag(MODEL_NAME, "1", "package_sha256", client.hashes[1])
    assert any("the gate allowed" in remark for remark in champion_remarks(client))


def test_of_two_promotions_at_once_exactly_one_wins_and_the_log_has_both_RG_05(client, uri):
    promote(client, allowed(client, 1))
    decisions = [allowed(client, version) for version in (2, 3)]  # both against version 1

    def attempt(decision):
        try:
            return promote(MlflowClient(uri), decision)
        except Refusal as refusal:
            return refusal.faults[0].id

    with ThreadPoolExecutor(2) as both:
        said = list(both.map(attempt, decisions))
    assert "RG-05" in said
    winner = 3 if said[0] == "RG-05" else 2
    assert holders(client) == Holders(champion=winner, previous=1)
    log = audit_log(client).read()
    assert {entry.version for entry in log[2:]} == {2, 3}
    assert [entry.action for entry in log[2:]].count("promote") == 1
    assert [entry.action for entry in log[2:]].count("refuse") == 1


def test_the_lock_is_held_by_one_and_passes_on_from_the_dead_RG_05(client, uri):
    with registry_lock(client):
        waiting = refusal(lambda: registry_lock(client, wait_s=0.3).__enter__())
        assert waiting.faults[0].id == "RG-05"
        assert "process" in waiting.faults[0].problem
    pid, reading = promotion_driver.child(lambda telling: _hold_and_die(uri))
    os.waitpid(pid, 0)
    os.close(reading)
    with registry_lock(client, wait_s=30):
        pass


@pytest.mark.parametrize("end", ["", "die\n"])
@pytest.mark.parametrize("proc", ["--mount-proc", "--kill-child"])
def test_a_holder_in_another_container_keeps_the_lock_while_it_lives_and_no_longer_RG_05(client, uri, proc, end):
    """Two PID namespaces of one host: no number of a process tells, the kernel does."""
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", proc]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no new PID namespace here")
    words = [*unshare, sys.executable, "-W", "ignore", "-c", HOLD_UNTIL_TOLD, uri]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        waiting = refusal(lambda: registry_lock(client, wait_s=0.3).__enter__())
        assert waiting.faults[0].id == "RG-05"
        lock = client.search_experiments(filter_string="name LIKE 'femseg promotion lock%'")[0]
        client.set_experiment_tag(lock.experiment_id, "beat", "0")  # it was stopped for long, and has said nothing
        waiting = refusal(lambda: registry_lock(client, wait_s=0.3).__enter__())
        assert waiting.faults[0].id == "RG-05"
        holder.stdin.write(end)
        holder.stdin.close()
        with registry_lock(client, wait_s=30):
            pass


HOLD_UNTIL_TOLD = """
import os, sys
from mlflow.tracking import MlflowClient
from femseg.services.registry.lock import registry_lock
with registry_lock(MlflowClient(sys.argv[1])):
    print("held", flush=True)
    if sys.stdin.readline():
        os._exit(9)
"""


def _hold_and_die(uri):
    registry_lock(MlflowClient(uri)).__enter__()
    os.kill(os.getpid(), signal.SIGKILL)


def killed(uri, *how: str) -> list[dict]:
    """What the driver saw: who was champion before and after each kill."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(DRIVER), uri, *how], capture_output=True, text=True, timeout=3000
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_whole(client, seen: list[dict]) -> None:
    """After every kill there was a champion, the old one or the new one; log and aliases agree in the end."""
    assert all(one["after"] in (1, 2) for one in seen)
    with locked_registry(client):
        pass
    log = audit_log(client).read()
    assert standing(log).begun is None
    assert standing(log).holders.champion == alias_holder(client, CHAMPION)
    assert standing(log).holders.previous == alias_holder(client, PREVIOUS)


def test_killed_before_each_of_its_writes_a_promotion_leaves_the_old_or_the_new_champion_RG_05(client, uri):
    seen = killed(uri, "every")
    assert_whole(client, seen)
    assert sum(one["killed"] for one in seen) == len(seen) - 1 >= 8
    moved = [one["after"] != one["before"] for one in seen]
    assert {True, False} <= set(moved[:-1])  # kills came before the alias moved, and after
    told = [entry.words for entry in audit_log(client).read()]
    assert any("ended after an interruption" in words for words in told)
    assert any("nothing changed" in words for words in told)


@pytest.mark.slow
def test_two_hundred_kills_at_random_instants_leave_the_old_or_the_new_champion_G9(client, uri):
    seen = killed(uri, "200", "7")
    assert len(seen) == 200
    assert sum(one["killed"] for one in seen) >= 100
    assert_whole(client, seen)
    assert audit_log(client).read()


def test_any_edit_of_the_log_is_found_in_the_registry_and_in_the_copy_RG_09(client):
    promote(client, allowed(client, 1))
    promote(client, allowed(client, 2))
    audit = audit_log(client)
    good = audit.read()
    copy, tags = audit.copy.read_bytes(), client.get_registered_model(MODEL_NAME).tags

    def altered_by(*edits) -> str:
        for edit in edits:
            edit()
        found = refusal(audit.read)
        assert (found.faults[0].id, found.exit_code) == ("RG-09", ExitCode.INTEGRITY)
        for key, value in tags.items():
            client.set_registered_model_tag(MODEL_NAME, key, value)
        audit.copy.write_bytes(copy)
        assert audit.read() == good
        return str(found)

    def set_tag(key, value):
        return lambda: client.set_registered_model_tag(MODEL_NAME, key, value)

    def delete_tag(key):
        return lambda: client.delete_registered_model_tag(MODEL_NAME, key)

    first = tags["audit.000001"]
    assert "entry 1 was altered" in altered_by(set_tag("audit.000001", first.replace('"version":1', '"version":2')))
    assert "entry 2" in altered_by(delete_tag("audit.000002"))
    assert "its head is" in altered_by(set_tag("audit.head", "4 " + "0" * 64))
    cut_off = (delete_tag("audit.000003"), delete_tag("audit.000004"), set_tag("audit.head", f"2 {good[1].sha256}"))
    assert "some were removed" in altered_by(*cut_off)
    assert str(audit.copy) in altered_by(lambda: audit.copy.write_bytes(copy.replace(b"promote", b"promotd", 1)))
    forged = [replace(good[0], by="nobody@nowhere").chained(())]
    for entry in good[1:]:
        forged.append(entry.chained(forged))
    rewritten = [set_tag(f"audit.{entry.number:06d}", entry.line()) for entry in forged]
    assert "differs from this machine's copy" in altered_by(
        *rewritten, set_tag("audit.head", f"{len(forged)} {forged[-1].sha256}")
    )


def test_a_machine_without_a_copy_gets_one_and_is_told_of_later_edits_RG_09(client):
    promote(client, allowed(client, 1))
    audit = audit_log(client)
    audit.copy.unlink()
    assert registry_faults(client) == []
    assert [entry.line() for entry in audit.read()] == audit.copy.read_text().splitlines()


def test_a_kill_between_an_entry_and_the_head_that_names_it_is_no_edit(client):
    promote(client, allowed(client, 1))
    audit = audit_log(client)
    log = audit.read()
    client.set_registered_model_tag(MODEL_NAME, "audit.head", f"1 {log[0].sha256}")
    audit.copy.write_text(f"{log[0].line()}\n")
    assert audit.read() == log
    with locked_registry(client):  # before it writes anything, for a kill may come at the same place again
        assert client.get_registered_model(MODEL_NAME).tags["audit.head"] == f"2 {log[1].sha256}"
    promote(client, allowed(client, 2))
    assert len(audit.read()) == 4


def test_killed_twice_between_an_entry_and_its_head_the_log_still_holds_RG_05(client, uri):
    """The second process finds the first one's move, and dies where the first one did."""
    promote(client, allowed(client, 1))

    def dies_before_a_head(telling):
        mortal = promotion_driver.Mortal(uri)
        plain = mortal.set_registered_model_tag
        heads = iter(range(10))

        def write(name, key, value):
            entry_is_new = key == "audit.head" and int(value.split()[0]) > known
            if entry_is_new and next(heads) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            plain(name, key, value)

        known = len(audit_log(mortal).read())
        mortal.set_registered_model_tag = write
        promote(mortal, allowed_for)

    allowed_for = allowed(client, 2)
    for _ in range(3):
        pid, reading = promotion_driver.child(dies_before_a_head)
        assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        os.close(reading)
        audit_log(client).read()
    assert registry_faults(client) == []
