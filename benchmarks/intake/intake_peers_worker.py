"""One peer over many studies, each in a forked process with a time limit. Run by `intake_peers.py`; imports no femseg.

    python -m benchmarks.intake.intake_peers_worker simpleitk jobs.json

A job is {"study": folder, "out": folder, "time_limit_s": number, "files": [volume files]}. The limit is of processor
time, so that a busy machine judges nobody; what computes nothing is ended after ten times as long. There are 8 GiB of
memory for each, or some would take all that the machine has. Into `out` go stdout.txt, stderr.txt, error.json if the
peer raised, and volume-0.npz … with what it handed out: values (Z, Y, X) and the affine from index (x, y, z) to LPS
millimetres.
"""

import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

VERIFIED = "=== verified; what follows is the reader's ==="
VOXELS_KEPT = 1_000_000
MEMORY_BYTES = 8 << 30
MODULES = {"simpleitk": "SimpleITK", "dicom2nifti": "dicom2nifti", "nnunet": "nnunetv2"}


def affine_lps(spacing: Any, origin: Any, direction: Any) -> Any:
    affine = np.eye(4)
    affine[:3, :3] = np.array(direction, float).reshape(3, 3) * np.array(spacing, float)
    affine[:3, 3] = origin
    return affine


def hand_out(out: Path, number: int, values_zyx: Any, affine: Any) -> None:
    """Keep what a peer handed out; of more voxels than any specimen has, that they are too many."""
    if values_zyx.size > VOXELS_KEPT:
        values_zyx = np.zeros((1, 1, 1))
    np.savez(out / f"volume-{number}.npz", values=values_zyx, affine=affine)


def simpleitk(study: Path, out: Path, files: list[str]) -> None:
    """Read the way that SimpleITK's own examples do: a series by its folder, a volume file by its name."""
    import SimpleITK as sitk

    if files:
        images = [sitk.ReadImage(file) for file in files]
    else:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(study)))
        images = [reader.Execute()]
    for number, image in enumerate(images):
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise RuntimeError(f"{image.GetDimension()}-D image of {image.GetNumberOfComponentsPerPixel()} components")
        geometry = affine_lps(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        hand_out(out, number, sitk.GetArrayFromImage(image), geometry)


def dicom2nifti(study: Path, out: Path, files: list[str]) -> None:
    """Convert a folder; a series that is refused is a traceback in the output and no file."""
    import nibabel as nib
    from dicom2nifti import convert_directory

    converted = out / "converted"
    converted.mkdir()
    convert_directory(str(study), str(converted), compression=True, reorient=True)
    for number, path in enumerate(sorted(converted.iterdir())):
        image = nib.load(path)
        geometry = np.diag([-1.0, -1, 1, 1]) @ image.affine
        hand_out(out, number, image.get_fdata().transpose(2, 1, 0), geometry)


def nnunet(study: Path, out: Path, files: list[str]) -> None:
    """Wrap each pair of files into a raw dataset, verify it, then read it as nnU-Net's preprocessing would."""
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_file_ending

    ending = next(e for e in (".nii.gz", ".nii", ".nrrd", ".mha") if files[0].endswith(e))
    dataset = out / "Dataset001_Specimen"
    for name in ("imagesTr", "labelsTr"):
        (dataset / name).mkdir(parents=True)
    for number, file in enumerate(files[::2]):
        shutil.copyfile(file, dataset / "imagesTr" / f"case{number:03d}_0000{ending}")
        if files[2 * number + 1]:
            shutil.copyfile(files[2 * number + 1], dataset / "labelsTr" / f"case{number:03d}{ending}")
    (dataset / "dataset.json").write_text(
        json.dumps(
            {
                "channel_names": {"0": "CT"},
                "labels": {"background": 0, "femur": 1},
                "numTraining": len(files) // 2,
                "file_ending": ending,
            }
        )
    )
    verify_dataset_integrity(str(dataset), num_processes=1)
    print(VERIFIED, flush=True)
    image, label = dataset / "imagesTr" / f"case000_0000{ending}", dataset / "labelsTr" / f"case000{ending}"
    reader = determine_reader_writer_from_file_ending(ending, str(image), verbose=False)()
    for number, (values, found) in enumerate((reader.read_images([str(image)]), reader.read_seg(str(label)))):
        if "sitk_stuff" in found:
            placed = found["sitk_stuff"]
            geometry = affine_lps(placed["spacing"], placed["origin"], placed["direction"])
        else:
            geometry = np.diag([-1.0, -1, 1, 1]) @ found["nibabel_stuff"]["original_affine"]
        hand_out(out, number, values[0], geometry)


def alone(peer: str, job: dict[str, Any]) -> None:
    """In the forked process: output into files, one call, what it raised into error.json."""
    resource.setrlimit(resource.RLIMIT_CPU, (job["time_limit_s"], job["time_limit_s"]))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    out = Path(job["out"])
    for name, descriptor in (("stdout.txt", 1), ("stderr.txt", 2)):
        os.dup2(os.open(out / name, os.O_CREAT | os.O_WRONLY, 0o644), descriptor)
    try:
        {"simpleitk": simpleitk, "dicom2nifti": dicom2nifti, "nnunet": nnunet}[peer](
            Path(job["study"]), out, job["files"]
        )
    except BaseException as error:
        said = {"type": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
        (out / "error.json").write_text(json.dumps(said))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    peer, jobs = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    importlib.import_module(MODULES[peer])
    if peer == "nnunet":
        import multiprocessing

        import nnunetv2.experiment_planning.verify_dataset_integrity  # noqa: F401  # loads torch once, here

        # nnU-Net starts its checkers afresh for each dataset, seconds each; forked they do the same work
        fork = multiprocessing.get_context("fork")
        multiprocessing.get_context = lambda method=None: fork  # type: ignore[assignment, misc]
    for job in jobs:
        process = os.fork()
        if process == 0:
            alone(peer, job)
        ends = time.monotonic() + 10 * job["time_limit_s"]
        while (ended := os.waitpid(process, os.WNOHANG))[0] == 0 and time.monotonic() < ends:
            time.sleep(0.02)
        if ended[0] == 0:
            os.kill(process, signal.SIGKILL)
            ended = os.waitpid(process, 0)
        if os.WIFSIGNALED(ended[1]):
            said = {"type": f"signal {os.WTERMSIG(ended[1])}", "message": "killed or out of time", "traceback": ""}
            (Path(job["out"]) / "error.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
