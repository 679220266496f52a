"""Keep what the README says of the demo, out of the report that `make repro` left.

python -m benchmarks.pipeline.demo_comparison --output benchmarks/results/demo_comparison.json
"""

import argparse
from pathlib import Path

from femseg.files.durable import read_json, write_json_durably
from femseg.paths import REPORTS


def kept(report: dict) -> dict:
    """Verdict and Dice on the network's grid of both models, of the threshold, and of the pairs."""
    (pairs,) = [one for one in report["comparisons"] if (one["metric"], one["grid"]) == ("dice", "network")]
    means = {mode: report["models"][mode]["network"]["dice"] for mode in ("raw", "gradient")}
    return {
        "command": "make repro; python -m benchmarks.pipeline.demo_comparison",
        "headlines": report["headlines"],
        "dice": {**means, "threshold": report["threshold"]["network"]["dice"], "paired": pairs},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, default=REPORTS / "comparison.json")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    write_json_durably(arguments.output, kept(read_json(arguments.report)))


if __name__ == "__main__":
    main()
