"""Keep what the README says of the demo, out of the report that `make repro` left.

python -m benchmarks.pipeline.demo_comparison --output benchmarks/results/demo_comparison.json
"""

import argparse
from pathlib import Path
from typing import Any

from femseg.files.durable import read_json, write_json_durably
from femseg.paths import REPORTS

BOTH_SCALES = ("dice", "average_surface_distance_mm", "hausdorff_95_mm")


def kept(report: dict[str, Any]) -> dict[str, Any]:
    """Verdict and Dice on the network's grid of both inputs, of the threshold, and of the pairs; and what every model,
    the cascade among them, reaches on the CT's own grid.
    """
    chosen = ("dice", "network", "gradient")
    (pairs,) = [one for one in report["comparisons"] if (one["metric"], one["grid"], one["candidate"]) == chosen]
    means = {mode: report["models"][mode]["network"]["dice"] for mode in ("raw", "gradient")}
    return {
        "command": "make repro; python -m benchmarks.pipeline.demo_comparison",
        "headlines": report["headlines"],
        "dice": {**means, "threshold": report["threshold"]["network"]["dice"], "paired": pairs},
        "on_the_cts_own_grid": {
            name: {metric: of_model["native"][metric] for metric in BOTH_SCALES}
            for name, of_model in report["models"].items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, default=REPORTS / "comparison.json")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    write_json_durably(arguments.output, kept(read_json(arguments.report)))


if __name__ == "__main__":
    main()
