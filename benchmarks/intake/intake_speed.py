"""How long intake takes: beyond reading for one large study, and against reading headers for hundreds.

1. A DICOM study of 400 slices of 512 × 512, its CT alone, and with a mask series of as many slices: the full check,
   less reading the same pixels with SimpleITK. Goal: at most 1 s. Both in one process, in turns, the files in the page
   cache.
2. 200 studies of 300 slices of 64 × 64, CT alone: `femseg check --headers --no-masks` as a process, start-up and Ray
   included, against a process that reads the same tags of the same files with pydicom, and one that calls our own
   reading of headers alone; each on as many workers as there are cores. Goal: at most 1.5 × pydicom. What the check
   does with a study, in one process without Ray, stands beside it, and the full check, once.

A header has 120 elements, as a scanner's has; every file is a file of its own. The kinds of work take turns, so that a
busy machine slows all alike. Goals are held against processor seconds, of the whole tree of processes: the clock also
counts other programs.

    python -m benchmarks.intake.intake_speed --output benchmarks/results/intake_speed.json
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from femseg.cohorts.settings import CohortSettings, MaskUse
from femseg.files.durable import require_free_space, write_json_durably
from femseg.formats.dicom.headers import read_slice_header
from femseg.intake.check import check_one
from femseg.layouts.detect import studies_of

GOAL_BEYOND_READING_S = 1.0
GOAL_RATIO = 1.5
TAGS = [
    "ImageType",
    "SOPClassUID",
    "Modality",
    "SeriesDescription",
    "PatientID",
    "PatientSex",
    "PatientAge",
    "BurnedInAnnotation",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Laterality",
    "ImageLaterality",
    "ImagesInAcquisition",
    "NumberOfFrames",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "PhotometricInterpretation",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
]


def series_header(size: int, *, patient: str, mask: bool) -> Dataset:
    """What all slices of a series share: 120 elements with those of a slice, most of which nobody asks for."""
    shared = Dataset()
    shared.SOPClassUID, shared.Modality, shared.ImageType = CTImageStorage, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    shared.PatientID, shared.PatientName = patient, "Nobody^Whoever"
    shared.StudyInstanceUID, shared.SeriesInstanceUID = generate_uid(), generate_uid()
    shared.SeriesDescription = "Femur mask" if mask else "Lower limb 1.0"
    shared.ImageOrientationPatient, shared.PixelSpacing = [1, 0, 0, 0, 1, 0], [400 / size, 400 / size]
    shared.Rows = shared.Columns = size
    shared.SamplesPerPixel, shared.PhotometricInterpretation, shared.PixelRepresentation = 1, "MONOCHROME2", 1
    shared.BitsAllocated, shared.BitsStored, shared.HighBit = 16, 16, 15
    shared.RescaleSlope, shared.RescaleIntercept = 1, 0 if mask else -1024
    for number in range(60):
        shared.add_new((0x0018, 0x9000 + 2 * number), "LO", f"setting {number} of the scanner")
    shared.add_new((0x0019, 0x0010), "LO", "A MAKER")
    for number in range(30):
        shared.add_new((0x0019, 0x1000 + number), "DS", f"{number}.25")
    return shared


def write_series(folder: Path, values_zyx: NDArray[np.int16], *, step_mm: float, frame: str, mask: bool) -> None:
    """One file per slice."""
    folder.mkdir(parents=True)
    data = series_header(values_zyx.shape[1], patient=frame[-12:], mask=mask)
    data.FrameOfReferenceUID = frame
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    data.file_meta = meta
    for number, pixels in enumerate(values_zyx):
        data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
        data.InstanceNumber, data.ImagePositionPatient = number + 1, [0.0, 0.0, number * step_mm]
        data.ImagesInAcquisition = len(values_zyx)
        data.PixelData = pixels.astype("<i2").tobytes()
        pydicom.dcmwrite(folder / f"{number:04}.dcm", data, enforce_file_format=True)


def leg(slices: int, size: int, seed: int) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Stored values of a leg in air with a bone in it, and where the bone is."""
    across = (np.arange(size) - size / 2 + 0.5) * 400 / size
    radius = np.hypot(across[:, None], across)
    flat = np.where(radius < 30, 1000.0, np.where(radius < 120, 60.0, -1000.0)) + 1024
    noise = np.random.default_rng(seed).normal(0, 20, (8, size, size))
    bone = np.zeros((slices, size, size), bool)
    bone[slices // 10 : -slices // 10] = radius < 30
    return np.stack([flat + noise[k % 8] for k in range(slices)]).astype(np.int16), bone


def write_large_study(folder: Path) -> None:
    """400 slices of 512 × 512, CT and mask."""
    stored, bone = leg(400, 512, 0)
    frame = generate_uid()
    write_series(folder / "one" / "ct", stored, step_mm=1.0, frame=frame, mask=False)
    write_series(folder / "one" / "mask", bone.astype(np.int16), step_mm=1.0, frame=frame, mask=True)


def write_many_studies(folder: Path, studies: int, slices: int) -> None:
    """Small slices, each study with values of its own."""
    for number in range(studies):
        stored, _ = leg(slices, 64, number)
        write_series(folder / f"{number:03}", stored, step_mm=1.5, frame=generate_uid(), mask=False)


def read_pixels(folder: Path) -> None:
    """A series into memory, the shortest way."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in sorted(folder.glob("*.dcm"))])
    reader.SetOutputPixelType(sitk.sitkFloat32)
    reader.Execute()


Seconds = tuple[float, float]  # by the clock, and of processors


def timed(work: Callable[[], Any]) -> Seconds:
    """A piece of work in this process."""
    started, before = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - before


def timed_tree(command: list[str]) -> Seconds:
    """A command with all processes below it, each as it was a twentieth of a second before its end."""
    started, seconds = time.perf_counter(), {}
    with psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as root:
        while root.poll() is None:
            with suppress(psutil.Error):
                for process in (root, *root.children(recursive=True)):
                    with suppress(psutil.Error):
                        seconds[process.pid] = sum(process.cpu_times()[:2])
            time.sleep(0.05)
    if root.returncode:
        raise RuntimeError(f"{command} ended with {root.returncode}")
    return time.perf_counter() - started, sum(seconds.values())


def medians(runs: dict[str, list[Seconds]]) -> dict[str, Any]:
    """Of each kind of work, by the clock and of processors, with the least and the most of the latter."""
    found: dict[str, Any] = {}
    for name, of in runs.items():
        for place, kind in enumerate(("s", "processor_s")):
            found[f"{name}_{kind}"] = round(statistics.median(run[place] for run in of), 3)
        found[f"{name}_processor_s_from_to"] = [round(edge(run[1] for run in of), 3) for edge in (min, max)]
    return found


def beyond_reading(folder: Path, masks: MaskUse, repeats: int) -> dict[str, Any]:
    """Medians of reading and of the full check, and how much longer the check takes; by the clock and of processors."""
    settings = CohortSettings(source="dicom")
    (study,) = studies_of(folder, settings)
    series = ["ct", "mask"] if masks == "required" else ["ct"]

    def read() -> None:
        for name in series:
            read_pixels(folder / "one" / name)

    def check(**how: bool) -> None:
        outcome = check_one(study, settings, root=folder, id_key=b"-" * 32, masks=masks, **how)
        assert outcome.usable, outcome.faults

    works = {
        "reading": read,
        "check": check,
        "check_with_pictures": lambda: check(pictures=True),
        "headers_alone": lambda: check(headers_only=True),
    }
    runs: dict[str, list[Seconds]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            runs[name].append(timed(work))
    beyond = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(runs["reading"], runs["check"], strict=True)]
    return medians(runs | {"beyond_reading": beyond})


def with_pydicom(paths: list[Path]) -> int:
    """Read the tags that intake reads."""
    return sum(len(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)) > 0 for path in paths)


def with_ours(paths: list[Path]) -> int:
    """The same by our own reading, which also proves that the pixels are all there."""
    return sum(read_slice_header(path) is not None for path in paths)


READERS = {"pydicom": with_pydicom, "ours": with_ours}


def read_headers(folder: Path, reader: str) -> None:
    """All headers, a study at a time, on as many processes as there are cores."""
    studies = [sorted(study.glob("*.dcm")) for study in sorted(folder.iterdir())]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        assert sum(pool.map(READERS[reader], studies)) == sum(map(len, studies))


def check_headers(folder: Path) -> None:
    """What `femseg check --headers` does with each study, in this process, one after the other."""
    settings = CohortSettings(source="dicom")
    for study in studies_of(folder, settings):
        check_one(study, settings, root=folder, id_key=b"-" * 32, masks="ignored", headers_only=True)


def many_studies(folder: Path, repeats: int) -> dict[str, Any]:
    """Medians of the commands' times, and the ratios of their processor times."""
    this = [sys.executable, "-m", __spec__.name, "--folder", str(folder)]
    femseg = [sys.executable, "-c", "from femseg.cli.main import main; main()", "check", str(folder), "--no-masks"]
    commands = {
        "pydicom_headers": [*this, "--reader", "pydicom"],
        "our_headers": [*this, "--reader", "ours"],
        "femseg_check_headers": [*femseg, "--headers"],
        "studies_in_one_process": [*this, "--reader", "check"],
    }
    runs: dict[str, list[Seconds]] = {name: [] for name in commands}
    for repeat in range(repeats):
        for name, command in commands.items():
            runs[name].append(timed_tree(command))
            print(f"{repeat + 1}/{repeats} {name}: {runs[name][-1][1]:.2f} s of processors", flush=True)
    ratios = {
        f"{name}_ratio_to_pydicom": statistics.median(
            a[1] / b[1] for a, b in zip(runs[name], runs["pydicom_headers"], strict=True)
        )
        for name in ("our_headers", "femseg_check_headers", "studies_in_one_process")
    }
    runs["femseg_check"] = [timed_tree(femseg)]
    return medians(runs) | {name: round(value, 3) for name, value in ratios.items()}


def main() -> None:
    """Make the studies, measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/intake_speed.json"))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--reader", choices=[*READERS, "check"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader:
        if arguments.reader == "check":
            check_headers(arguments.folder)
        else:
            read_headers(arguments.folder, arguments.reader)
        return
    load_before = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        require_free_space(folder, 900 * 2**20 + arguments.studies * arguments.slices * 20_000)
        write_large_study(folder / "large")
        ways: dict[str, MaskUse] = {"ct_alone": "ignored", "ct_and_mask": "required"}
        one = {name: beyond_reading(folder / "large", masks, arguments.repeats) for name, masks in ways.items()}
        print(json.dumps(one, indent=2), flush=True)
        write_many_studies(folder / "many", arguments.studies, arguments.slices)
        many = many_studies(folder / "many", arguments.repeats)
    record = {
        "command": "python -m benchmarks.intake.intake_speed",
        "goal": {"beyond_reading_s": GOAL_BEYOND_READING_S, "ratio_to_pydicom": GOAL_RATIO},
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "pydicom": pydicom.__version__},
        "load_average_before_and_after": [load_before, round(os.getloadavg()[0], 1)],  # of others, at least before
        "repeats": arguments.repeats,
        "one_study_of_400_slices_512": one,
        f"{arguments.studies}_studies_of_{arguments.slices}_slices_64": many,
        "met": {
            "beyond_reading": {n: ms["beyond_reading_processor_s"] <= GOAL_BEYOND_READING_S for n, ms in one.items()},
            "headers": many["femseg_check_headers_ratio_to_pydicom"] <= GOAL_RATIO,
        },
    }
    print(json.dumps(record, indent=2))
    write_json_durably(arguments.output, record)


if __name__ == "__main__":
    main()
