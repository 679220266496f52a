"""What the promotion gate withstands: kills at random instants, and how long a rollback takes.

    python -m benchmarks.gate.promotion_gate --output benchmarks/results/promotion_gate.json

A registry of three versions on SQLite. Two versions take the alias `champion` from each other in children that are
killed (kill -9) at instants drawn evenly over a bit more than a whole move takes; after each kill the database itself
is asked who is champion. Before that the champion is rolled back again and again, as `femseg rollback` does: the lock,
the log proven, the package loaded with every hash, the move written down; and by the command, Python's start included.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from mlflow.tracking import MlflowClient
from tiny_model import write_tiny_package

from femseg.gate.audit import standing
from femseg.services.registry.aliases import CHAMPION, PREVIOUS, alias_holder, locked_registry, promote, rollback
from femseg.services.registry.audit_log import audit_log
from femseg.services.registry.versions import register_package
from femseg.services.tracking.connect import connect, end_run, start_run
from tests.integration.services.registry import promotion_driver

ROLLBACKS, COMMANDS = 20, 5


def with_versions(folder: Path) -> tuple[MlflowClient, str]:
    """A registry with versions 1 to 3, the second champion and the first previous; and its address."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    os.environ["MLFLOW_TRACKING_URI"] = uri
    client, experiment_id = connect(uri)
    for seed in range(3):
        write_tiny_package(folder / f"package-{seed}", seed=seed)
        run_id = start_run(client, experiment_id, name="train-raw", params={})
        end_run(client, run_id, "FINISHED")
        register_package(client, folder / f"package-{seed}", run_id=run_id, tags={}, input_channels=1)
    for version in (1, 2):
        promote(client, promotion_driver.decision(client, version))
    return client, uri


def killed(client: MlflowClient, uri: str, kills: int, seed: int) -> dict[str, object]:
    """Counts over all kills; the last two say whether log and aliases agree in the end."""
    driver = [sys.executable, "-W", "ignore", promotion_driver.__file__, uri, str(kills), str(seed)]
    done = subprocess.run(driver, capture_output=True, text=True, check=True)
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    with locked_registry(client) as hand:
        held = hand.holders
    in_log = standing(audit_log(client).read())
    return {
        "kills": len(seen),
        "killed_at_work": sum(one["killed"] for one in seen),
        "champion_was_the_old_one": sum(one["after"] == one["before"] for one in seen),
        "champion_was_the_new_one": sum(one["after"] in (1, 2) and one["after"] != one["before"] for one in seen),
        "champion_was_none_or_another": sum(one["after"] not in (1, 2) for one in seen),
        "moves_left_open_in_the_log": int(in_log.begun is not None),
        "log_and_aliases_differ": (held.champion, held.previous)
        != (alias_holder(client, CHAMPION), alias_holder(client, PREVIOUS)),
    }


def rollback_seconds(client: MlflowClient) -> list[float]:
    """Of each rollback, within a process that runs already."""
    seconds = []
    for _ in range(ROLLBACKS):
        started = time.perf_counter()
        rollback(client)
        seconds.append(time.perf_counter() - started)
    return seconds


def command_seconds(uri: str, folder: Path) -> list[float]:
    """Of `femseg rollback` from the shell."""
    seconds = []
    for _ in range(COMMANDS):
        started = time.perf_counter()
        words = [sys.executable, "-c", "from femseg.cli.main import main; main()", "rollback"]
        environment = os.environ | {"MLFLOW_TRACKING_URI": uri}
        subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return seconds


def of(seconds: list[float]) -> dict[str, float]:
    return {"number": len(seconds), "median": statistics.median(seconds), "longest": max(seconds)}


def measured(folder: Path, kills: int, seed: int) -> dict[str, object]:
    client, uri = with_versions(folder)
    return {
        "rollback_s": of(rollback_seconds(client)),
        "rollback_command_s": of(command_seconds(uri, folder)),
        "at_random_instants": killed(client, uri, kills, seed),
        "seed": seed,
        "load_average_at_the_end": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="femseg-gate-") as folder:
        found = measured(Path(folder), arguments.kills, arguments.seed)
    result = {"command": f"python -m benchmarks.gate.promotion_gate --kills {arguments.kills}", **found}
    print(json.dumps(result, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
