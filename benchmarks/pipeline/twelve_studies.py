"""A folder of twelve studies by one command: right words, right exit code; killed in the middle, nothing is done twice.

    FEMSEG_REAL_DATA=… python -m benchmarks.pipeline.twelve_studies --output benchmarks/results/twelve_studies.json

Phantoms whole and cut off, one with a nail, a chest, a series with a torn slice, one CT under two names and, where it
is at hand, a real pelvis. `femseg segment FOLDER -o OUT` runs with the model that came with femseg, is killed with all
its processes once some studies are done, and started again; then once more with nothing left to do.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import SimpleITK as sitk

from benchmarks.pipeline.without_femur import chest
from benchmarks.shipped.evidence import REAL_DATA
from femseg.faults import ExitCode
from femseg.files.durable import write_json_durably
from femseg.networks.package import load_package
from femseg.paths import SHIPPED_MODEL
from femseg.phantom import PhantomSettings, phantom_study, write_phantom_study

PHANTOMS: dict[str, dict[str, Any]] = {
    "whole-a": {},
    "whole-b": {},
    "both-legs": {"legs": "both"},
    "cut-off-a": {"cut_off_fraction": 1.0},
    "hip": {"scans": "varied"},
    "knee": {"scans": "varied"},
    "cut-off-b": {"cut_off_fraction": 1.0},
    "nailed": {"implant_fraction": 1.0},
}
TORN, TWICE, TWIN, PELVIS, CHEST = "torn-slice", "whole-b", "whole-b-again", "real-pelvis", "chest"
_FEMUR = ("usable", "review")
WANTED = {
    **dict.fromkeys(PHANTOMS, _FEMUR),
    "nailed": ("review", "reject"),
    TWIN: _FEMUR,
    PELVIS: ("review", "reject"),
    CHEST: ("reject",),
    TORN: ("refused",),
}
WANTED_EXIT = ExitCode.INPUT_REFUSED  # of the torn slice: the others are done
_KILLED_AFTER = 4
_PATIENCE_S = 1800.0


def write_studies(folder: Path) -> None:
    """A folder for each."""
    for index, (name, options) in enumerate(PHANTOMS.items()):
        settings = PhantomSettings(
            **{"patients": 12, "seed": 77, "spacing_mm_zyx": (2.0, 1.2, 1.2), "cut_off_fraction": 0.0, **options}
        )
        write_phantom_study(phantom_study(settings, index), folder / name)
        shutil.rmtree(folder / name / "mask")
    (folder / CHEST).mkdir()
    drawn = chest(np.random.default_rng(77))
    sitk.WriteImage(drawn.grid.image(drawn.hu_zyx.astype(np.int16)), str(folder / CHEST / "ct.nii.gz"))
    shutil.copytree(folder / TWICE, folder / TWIN)
    shutil.copytree(folder / "whole-a", folder / TORN)
    torn = sorted((folder / TORN).rglob("*.dcm"))[20]
    torn.write_bytes(torn.read_bytes()[:900])
    if (pelvis := REAL_DATA / "pelvis_ct" / "ct.nii.gz").exists():
        (folder / PELVIS).mkdir()
        shutil.copy(pelvis, folder / PELVIS)


def command(studies: Path, out: Path) -> list[str]:
    main = "from femseg.cli.main import main; main()"
    return [sys.executable, "-c", main, "segment", str(studies), "-o", str(out), "--model", "shipped", "--json"]


def inodes(out: Path) -> dict[str, int]:
    """The studies that are done; who is done again has another inode."""
    return {path.parent.name: path.stat().st_ino for path in out.glob("*/result.json")}


def killed_in_the_middle(studies: Path, out: Path) -> dict[str, int]:
    """Start, kill the process group once some studies are done, and return which."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command(studies, out), stdout=quiet, stderr=quiet, start_new_session=True)
    until = time.monotonic() + _PATIENCE_S
    while len(inodes(out)) < _KILLED_AFTER:
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"ended with {process.poll()} before {_KILLED_AFTER} studies were done")
        time.sleep(0.05)
    below = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(below, timeout=_PATIENCE_S)  # Ray's own go by themselves
    if alive:
        raise RuntimeError(f"outlived the command: {alive}")
    return inodes(out)


def finished(studies: Path, out: Path) -> tuple[int, float, dict[str, dict[str, Any]]]:
    """Exit code, seconds and what is said of each study."""
    started = time.perf_counter()
    done = subprocess.run(command(studies, out), capture_output=True, text=True, check=False)
    if not done.stdout.startswith("["):  # refused as a whole
        raise RuntimeError(done.stdout + done.stderr[-2000:])
    told = {study["study"]: study for study in json.loads(done.stdout)}
    return done.returncode, time.perf_counter() - started, told


def word(study: dict[str, Any]) -> str:
    """The verdict, or that it was refused."""
    return "refused" if study["state"] == "refused" else str(study["verdict"]["word"])


def judged(name: str, study: dict[str, Any]) -> dict[str, Any]:
    """What was said of a study, and whether it is right."""
    right = word(study) in WANTED[name] and study.get("same_as") == (TWICE if name == TWIN else None)
    faults = sorted({fault["id"] for fault in study["faults"]})
    reasons = study.get("verdict", {}).get("reasons", [])
    return {"said": word(study), "right": right, "same_as": study.get("same_as"), "reasons": reasons, "faults": faults}


def walked(folder: Path) -> dict[str, Any]:
    """All of it."""
    studies, out = folder / "studies", folder / "out"
    studies.mkdir()
    write_studies(studies)
    before = killed_in_the_middle(studies, out)
    code, seconds, told = finished(studies, out)
    after = inodes(out)
    code_again, seconds_again, again = finished(studies, out)
    of_studies = {name: judged(name, study) for name, study in told.items()}
    return {
        "command": "python -m benchmarks.pipeline.twelve_studies",
        "model_sha256": load_package(SHIPPED_MODEL).sha256,
        "studies": of_studies,
        "right": sum(study["right"] for study in of_studies.values()),
        "count": len(of_studies),
        "exit_code": code,
        "exit_code_right": code == code_again == WANTED_EXIT,
        "killed_after": len(before),
        "kept": sum(study["state"] == "kept" for study in told.values()),
        "done_twice": sum(after.get(name) != inode for name, inode in before.items())
        + sum(inodes(out).get(name) != inode for name, inode in after.items()),
        "said_the_same_again": {name: word(study) for name, study in again.items()}
        == {name: word(study) for name, study in told.items()},
        "seconds_after_the_kill": seconds,
        "seconds_with_nothing_to_do": seconds_again,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = walked(Path(name))
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
