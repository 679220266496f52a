"""How long, and in how much memory, a 512 × 512 × 1000 CT becomes network input, against reading it.

Goal: at most 1.5 × the time of reading with the paper's recipe (no anti-aliasing), and 4 GiB with any. Each measurement
runs in a fresh process that reads the DICOM series with SimpleITK into float32 and then makes one channel, so that both
times stem from the same moment of the machine.

    python -m benchmarks.pipeline.arrays_large_ct --output benchmarks/results/arrays_large_ct.json
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from femseg.cohorts.settings import PAPER_SHAPE_ZYX
from femseg.files.durable import require_free_space, write_json_durably
from femseg.volumes.grid import CtVolume, VoxelGrid
from femseg.volumes.network_input import InputRecipe, channel

GOAL_RATIO = 1.5
GOAL_GIB = 4.0
SPACING_MM_ZYX = (1.0, 0.8, 0.8)


def write_ct(
    folder: Path, slices: int, *, edge: int = 512, spacing_mm_zyx: tuple[float, float, float] = SPACING_MM_ZYX
) -> None:
    """A DICOM CT of square slices: a leg of 120 HU with a bone of 1200 HU in air, and noise."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    thickness_mm, *in_plane_mm = spacing_mm_zyx
    across = (np.arange(edge) - (edge - 1) / 2) * in_plane_mm[0]
    radius = np.hypot(across[:, None], across)
    leg = np.where(radius < 15, 1200, np.where(radius < 80, 120, -1000))
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 20, (8, edge, edge))
    for number in range(slices):
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID, data.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = series, study, frame
        data.InstanceNumber = number + 1
        data.ImagePositionPatient = [0.0, 0.0, number * thickness_mm]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = in_plane_mm, thickness_mm
        data.Rows = data.Columns = edge
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.PixelData = (leg + noise[number % 8] + 1024).astype("<i2").tobytes()
        pydicom.dcmwrite(folder / f"{number:04}.dcm", data, enforce_file_format=True)


def read_ct(folder: Path) -> CtVolume:
    """The whole series as float32 HU."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in sorted(folder.glob("*.dcm"))])
    reader.SetOutputPixelType(sitk.sitkFloat32)
    image = reader.Execute()
    return CtVolume(hu_zyx=sitk.GetArrayFromImage(image), grid=VoxelGrid.of_image(image))


def measure(folder: Path, work: str) -> dict[str, float]:
    """Seconds of reading and of making a channel, and this process's peak memory. `work`: "read" or a channel."""
    started = time.perf_counter()
    ct = read_ct(folder)
    read_s = time.perf_counter() - started
    mode, _, smoothed = work.partition("+")
    if mode in ("raw", "gradient"):
        channel(ct, InputRecipe(input_mode=mode, shape_zyx=PAPER_SHAPE_ZYX, anti_aliasing=bool(smoothed)), mode)
    prepare_s = time.perf_counter() - started - read_s
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB
    return {"read_s": read_s, "prepare_s": prepare_s, "ratio": 1 + prepare_s / read_s, "peak_gib": peak_gib}


def measured_in_fresh_processes(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Medians over repeats; the kinds of work take turns, so that a busy machine slows all alike."""
    kinds = ("read", "raw", "gradient", "raw+anti_aliasing", "gradient+anti_aliasing")
    runs: dict[str, list[dict[str, float]]] = {work: [] for work in kinds}
    for repeat in range(repeats):
        for work in kinds:
            command = [sys.executable, "-m", __spec__.name, "--measure", work, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs[work].append(json.loads(done.stdout))
            print(f"{repeat + 1}/{repeats} {work}: " + ", ".join(f"{k} {v:.2f}" for k, v in runs[work][-1].items()))
    return {
        work: {key: round(statistics.median(run[key] for run in of_kind), 3) for key in of_kind[0]}
        for work, of_kind in runs.items()
    }


def main() -> None:
    """Make the CT, measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/arrays_large_ct.json"))
    parser.add_argument("--slices", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.folder, arguments.measure)))
        return
    with tempfile.TemporaryDirectory() as name:
        require_free_space(Path(name), arguments.slices * 530_000)
        write_ct(Path(name), arguments.slices)
        results = measured_in_fresh_processes(Path(name), arguments.repeats)
    record: dict[str, Any] = {
        "ct_shape_zyx": [arguments.slices, 512, 512],
        "network_shape_zyx": list(PAPER_SHAPE_ZYX),
        "goal": {"ratio": GOAL_RATIO, "peak_gib": GOAL_GIB},
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "simpleitk": sitk.Version.VersionString(),
        },
        "repeats": arguments.repeats,
        "medians": results,
        "met": {
            "ratio": all(results[work]["ratio"] <= GOAL_RATIO for work in ("raw", "gradient")),
            "peak_gib": all(result["peak_gib"] <= GOAL_GIB for result in results.values()),
        },
    }
    print(json.dumps(record, indent=2))
    write_json_durably(arguments.output, record)


if __name__ == "__main__":
    main()
