"""Move the champion back and forth in children that are killed at random instants; say after each who holds it.

python promotion_driver.py <tracking URI> <kills> <seed>    at random instants
python promotion_driver.py <tracking URI> every             once before each write to the registry, then not at all

One line of JSON for each kill: who was champion before, who is afterwards, and whether the child was still at work.
"""

import importlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable

from mlflow.tracking import MlflowClient

from femseg.gate.decision import Check, Decision
from femseg.services.registry.aliases import CHAMPION, alias_holder, promote
from femseg.services.registry.model_name import MODEL_NAME

_FIT = Check(id="RG-02", name="all", passed=True, found="fit", expected="fit", fix="none")
_SQLITE = "sqlite:///"


def decision(client: MlflowClient, version: int) -> Decision:
    """One that allows a version, as it is registered, against whoever is champion now."""
    return Decision(
        version=version,
        champion=alias_holder(client, CHAMPION),
        package_sha256=client.get_model_version(MODEL_NAME, str(version)).tags["package_sha256"],
        predictions_sha256="",
        test_set_sha256="",
        rules={},
        checks=(_FIT,),
    )


def child(work: Callable[[int], object]) -> tuple[int, int]:
    """Fork a child that works; returns its pid and where to hear of it. This process never connects itself."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work(writing)
        finally:
            os._exit(0)
    os.close(writing)
    return pid, reading


class Mortal(MlflowClient):
    """Kills its process before one of its writes."""

    writes_left: float = float("inf")


def _mortal(name: str):
    def write(self, *given, **named):
        self.writes_left -= 1
        if self.writes_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return getattr(MlflowClient, name)(self, *given, **named)

    return write


for _name in (
    "create_experiment",
    "delete_experiment",
    "set_model_version_tag",
    "set_registered_model_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
):
    setattr(Mortal, _name, _mortal(_name))


def move(uri: str, telling: int, writes: float = float("inf")) -> None:
    """The champion becomes the other one of versions 1 and 2; tells when it begins."""
    client = Mortal(uri)
    client.writes_left = writes
    before = alias_holder(client, CHAMPION)
    os.write(telling, b"b")
    promote(client, decision(client, 2 if before == 1 else 1))


def seen(uri: str) -> int | None:
    """Who is champion: asked of the database itself, or of the server by a child."""
    if uri.startswith(_SQLITE):
        with sqlite3.connect(uri.removeprefix(_SQLITE), timeout=30) as database:
            row = database.execute("SELECT version FROM registered_model_aliases WHERE alias = 'champion'").fetchone()
        return row and int(row[0])
    pid, reading = child(
        lambda telling: os.write(telling, json.dumps(alias_holder(MlflowClient(uri), CHAMPION)).encode())
    )
    with os.fdopen(reading) as stream:
        said = stream.read()
    os.waitpid(pid, 0)
    return json.loads(said)


def _whole_move(uri: str) -> float:
    """One that nobody disturbs; returns the seconds from its beginning to its end."""
    pid, reading = child(lambda telling: move(uri, telling))
    os.read(reading, 1)
    begun = time.monotonic()
    os.waitpid(pid, 0)
    os.close(reading)
    return time.monotonic() - begun


def every(uri: str) -> None:
    """Kill before the first write, the second, and so on, until there is none left to kill before."""
    _whole_move(uri)
    killed, writes, before = True, 0, seen(uri)
    while killed:
        pid, reading = child(lambda telling, writes=writes: move(uri, telling, writes))
        killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        os.close(reading)
        after = seen(uri)
        print(json.dumps({"before": before, "after": after, "killed": killed}), flush=True)
        before, writes = after, writes + 1


def at_random(uri: str, kills: int, seed: int) -> None:
    """Kill at instants drawn evenly over a bit more than a whole move takes."""
    rng = random.Random(seed)
    longest_s, before = 1.3 * _whole_move(uri), seen(uri)
    for _ in range(kills):
        pid, reading = child(lambda telling: move(uri, telling))
        os.read(reading, 1)
        time.sleep(rng.uniform(0.0, longest_s))
        os.kill(pid, signal.SIGKILL)
        killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        os.close(reading)
        after = seen(uri)
        print(json.dumps({"before": before, "after": after, "killed": killed}), flush=True)
        before = after


if __name__ == "__main__":
    for store in ("model_registry", "tracking"):  # once here, not in every child
        importlib.import_module(f"mlflow.store.{store}.sqlalchemy_store")
    if sys.argv[2] == "every":
        every(sys.argv[1])
    else:
        at_random(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
