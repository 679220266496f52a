"""The same training command again and again in one folder: start it, watch it, look at what it left."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow.tracking import MlflowClient
from processes import ended, start
from servers.runs_in_mlflow import run_id_of

SUPPORT = Path(__file__).parent
ITERATIONS = 200


class Training:
    """`driver` on a tiny store; in its own Ray session, or on the cluster that `env` names."""

    def __init__(
        self,
        folder: Path,
        store: Path,
        database: Path,
        iterations: int = ITERATIONS,
        env: Mapping[str, str] | None = None,
        driver: Path = SUPPORT / "train_driver.py",
        first: Sequence[str] = (),
    ) -> None:
        self.folder, self.log = folder, folder / "log.txt"
        folder.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_", "FEMSEG_"))}
        self.env = kept | {
            **(env or {}),
            "PYTHONPATH": os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1] / "platform")]),
            "MLFLOW_TRACKING_URI": f"sqlite:///{database}",
            "OMP_NUM_THREADS": "1",
        }
        words = [*first, str(store), str(folder), "--iterations", str(iterations)]
        self.command = [sys.executable, str(driver), *words]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return start([*self.command, *words], env=self.env, cwd=self.folder, log=self.log)

    def complete(self, *words: str) -> dict:
        assert ended(self.start(*words), self.log, 550) == 0, self.log.read_text()[-3000:]
        return self.outcome

    @property
    def outcome(self) -> dict:
        return json.loads((self.folder / "outcome.json").read_text())

    @property
    def iterations_done(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.folder.glob("raw-*/curve.jsonl"))

    @property
    def checkpoints(self) -> list[int]:
        return sorted(int(path.parent.name.removeprefix("step-")) for path in self.folder.glob("raw-*/step-*/COMMIT"))

    @property
    def run_id(self) -> str:
        (folder,) = self.folder.glob("raw-*/")
        return run_id_of(MlflowClient(self.env["MLFLOW_TRACKING_URI"]), folder)
