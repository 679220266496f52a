"""What a large CT costs from files to mask file, and what else is wanted of it, with the model that came with femseg.

    python -m benchmarks.pipeline.outputs_cost --output benchmarks/results/outputs_cost.json

The CT is a phantom of both legs, 512 × 512 × 300, as a DICOM series. Commands run in processes of their own, start of
Python and all, `doctor` with an MLflow store; page, mesh and DICOM objects are made of one mask and timed alone, the
page with its own solids. `--alone` installs the wheel, and nothing else, in an empty environment, and segments there.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from mlflow import MlflowClient

from benchmarks.pipeline.cascade_large_ct import both_legs
from femseg.cli.outputs import Dicom, Outputs, reference_of, write_outputs
from femseg.cli.segment import Choices, described, load_model, made_by, segmentation_record, segmented
from femseg.files.durable import write_json_durably
from femseg.formats.writing import write_labels
from femseg.intake.single_ct import inspect_study
from femseg.networks.package import load_package
from femseg.paths import SHIPPED_MODEL
from femseg.phantom.dicom_export import write_phantom_study

SHAPE_ZYX, SPACING_MM_ZYX = (300, 512, 512), (1.75, 0.8, 0.8)
MODEL = "shipped"
SEGMENT_GOAL_S = 45


def of_command(folder: Path, *words: str, store: str = "", python: str = sys.executable) -> dict[str, float]:
    """A command of femseg in an empty folder: seconds by the clock and of all processors, exit code.

    Args:
        store: address of an MLflow store that the command is to know.
        python: of the environment.
    """
    command = [python, "-c", "from femseg.cli.main import main; main()", *words]
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **({"MLFLOW_TRACKING_URI": store} if store else {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = process.stderr.read() if process.stderr else ""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    spent = {"seconds": time.perf_counter() - started, "processor_s": used.ru_utime + used.ru_stime}
    print(words[0], spent, said[-500:], flush=True)
    return {**spent, "exit_code": process.returncode}


def python_alone(folder: Path) -> str:
    """The interpreter of an empty environment in which the wheel of this tree was installed."""
    python, run = str(folder / "environment" / "bin" / "python"), partial(subprocess.run, check=True)
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), "."])
    run([sys.executable, "-m", "venv", str(folder / "environment")])
    (wheel,) = folder.glob("*.whl")
    run([python, "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", str(wheel)])
    return python


def of_call(call: Callable[[], object]) -> dict[str, float]:
    """A call in this process, all of its threads."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return {"seconds": time.perf_counter() - wall, "processor_s": time.process_time() - processor}


def of_outputs(series: Path, folder: Path) -> dict[str, dict[str, float]]:
    """Each output beside one mask of the series."""
    choices = Choices.of(MODEL)
    used = load_model(choices.model)
    wanted = {
        "mesh": Outputs(mesh=folder / "femur.stl"),
        "page": Outputs(page=folder / "femur.html"),
        "dicom_seg": Outputs(dicom_seg=folder / "femur.dcm"),
        "rtstruct": Outputs(rtstruct=folder / "rtstruct.dcm"),
    }
    case, ct = inspect_study(series, id_key=b"-" * 32)
    femora, judged, facts = segmented(case, ct, used, name=series.name)
    record = segmentation_record(case, {}, used.package, choices)
    made = described(used.package, ct, femora, facts, record, name=series.name)
    mask = folder / "labels.nii.gz"
    write_labels(mask, femora.labels, femora.structures)
    reference = reference_of(wanted["dicom_seg"], case, series, name=series.name)
    dicom = Dicom(ct=reference, made_by=made_by(used, judged))
    spent = {}
    for name, outputs in wanted.items():

        def write(outputs: Outputs = outputs, name: str = name) -> None:
            written = write_outputs(outputs, made, mask=mask, name=mask, overwrite=False, dicom=dicom)
            if written.faults:
                raise RuntimeError(f"{name}: {written.faults}")

        spent[name] = of_call(write)
        print(name, spent[name], flush=True)
    return spent


def measured(folder: Path, *, alone: bool) -> dict[str, object]:
    """All of it."""
    study = both_legs(SHAPE_ZYX, SPACING_MM_ZYX)
    write_phantom_study(study, folder / "study")
    series, empty = folder / "study" / "ct", folder / "empty"
    empty.mkdir()
    store = f"sqlite:///{folder / 'mlflow.db'}"
    MlflowClient(store).search_experiments()  # makes it
    words = ("segment", str(series), "-o", "mask.nii.gz", "--model", MODEL, "--write-rejected")
    commands = {
        "segment": of_command(empty, *words),
        "selftest": of_command(empty, "selftest"),
        "doctor": of_command(empty, "doctor", store=store),
    }
    if alone:
        (folder / "other").mkdir()
        commands["segment_of_the_wheel_alone"] = of_command(folder / "other", *words, python=python_alone(folder))
    return {
        "command": "python -m benchmarks.pipeline.outputs_cost" + (" --alone" if alone else ""),
        "model_sha256": load_package(SHIPPED_MODEL).sha256,
        "ct_shape_zyx": SHAPE_ZYX,
        "ct_spacing_mm_zyx": SPACING_MM_ZYX,
        "commands": commands,
        "outputs": of_outputs(series, folder),
        "goal": {"segment_seconds": SEGMENT_GOAL_S},
        "machine": {"cpus": os.cpu_count(), "threads": torch.get_num_threads(), "load": os.getloadavg()[0]},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", action="store_true", help="in an environment of its own, too; needs an index")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = measured(Path(name), alone=arguments.alone)
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json_durably(arguments.output, result)


if __name__ == "__main__":
    main()
