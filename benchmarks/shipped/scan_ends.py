"""What it gives to look at a scan's ends in the middle of a window, too: on the validation part of synthetic people.

    python -m benchmarks.shipped.scan_ends --build build/shipped --output benchmarks/results/scan_ends.json

Each person of the split's validation part, which trained nothing, is segmented with and without
`femseg.inference.windows.scan_probability`, on the network's grid: Dice, or where the scan holds no femur, millilitres
found. That windows lie badly at a scan's ends was seen on the real pelvis CT; what to do about it was chosen here.
"""

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from femseg.cohorts.split import read_split
from femseg.files.durable import write_json_durably
from femseg.inference.segment import femur_probability
from femseg.metrics.overlap import dice_coefficient
from femseg.networks.network import FEMUR_FROM
from femseg.networks.package import ModelPackage, load_package
from femseg.paths import ARRAYS, SHIPPED_MODEL, SPLIT
from femseg.training.stored_cases import StoredCases


def looked_at(package: ModelPackage, case_id: str, people: StoredCases) -> dict[str, Any]:
    """One person both ways."""
    femur_zyx = people.target_zyx(case_id).astype(bool)
    voxel_ml = math.prod(people.spacing_mm_zyx(case_id)) / 1000
    row: dict[str, Any] = {"person": case_id, "femur_ml": float(np.count_nonzero(femur_zyx)) * voxel_ml}
    for words, whole_scan in (("without", False), ("with", True)):
        began = time.process_time()
        probability_zyx = femur_probability(
            package.network, people.input_czyx(case_id), windows=package.model.windows, whole_scan=whole_scan
        )
        found_zyx = probability_zyx >= FEMUR_FROM
        row[words] = {
            "dice": dice_coefficient(found_zyx, femur_zyx) if femur_zyx.any() else None,
            "found_ml": float(np.count_nonzero(found_zyx)) * voxel_ml,
            "processor_seconds": time.process_time() - began,
        }
    print(row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build/shipped"), help="where `make shipped` built")
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/scan_ends.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    package = load_package(given.model)
    arrays, names = given.build / ARRAYS, read_split(given.build / SPLIT).validation
    people = StoredCases.open(arrays / package.model.input_mode, arrays / "mask", names)
    rows = [looked_at(package, name, people) for name in names]
    of_femora = [row for row in rows if row["femur_ml"]]
    result = {
        "command": "python -m benchmarks.shipped.scan_ends",
        "package_sha256": package.sha256,
        "people": rows,
        "mean_dice": {
            words: float(np.mean([row[words]["dice"] for row in of_femora])) for words in ("without", "with")
        },
        "higher_in": sum(row["with"]["dice"] > row["without"]["dice"] for row in of_femora),
        "of": len(of_femora),
    }
    write_json_durably(given.output, result)


if __name__ == "__main__":
    main()
