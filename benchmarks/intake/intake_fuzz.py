"""Ten thousand damaged files and some that are built to cost: what intake makes of them, and what they cost it.

Usage: python -m benchmarks.intake.intake_fuzz [--seeds N] [--output FILE]

Each carrier (a small right file of one kind) is damaged by so many seeds and taken through a user's door in a worker
process; the same runs stand in the slow tests. Seconds are of processor time, megabytes the peak beyond the libraries'.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).parents[2] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))

from fuzz.carriers import CARRIERS  # noqa: E402 - made findable by the line above
from fuzz.runs import faulty, run_carriers  # noqa: E402

SECONDS, MEGABYTES = 5, 500


def told(results: list[dict[str, Any]]) -> dict[str, Any]:
    """One carrier's results in numbers."""
    accepted = [result for result in results if result["outcome"] == "accepted"]
    changed = Counter(
        f"{result['what'].rpartition(' (')[0]}: {', '.join(result['changed'])}"
        for result in accepted
        if result["changed"] and "remarks" not in result["changed"]
    )
    refusals = Counter(fault for result in results for fault in result.get("ids", []))
    return {
        "files": len(results),
        "outcomes": dict(Counter(result["outcome"] for result in results)),
        "refused_by": dict(sorted(refusals.items())),
        "accepted_as_before": sum(not result["changed"] for result in accepted),
        "accepted_with_a_remark": sum("remarks" in result["changed"] for result in accepted),
        "accepted_and_changed_without_a_remark": dict(changed.most_common()),
        "largest_move_mm": max((result.get("moved_mm", 0.0) for result in accepted), default=0.0),
        "worst_seconds": max(result["seconds"] for result in results),
        "worst_peak_mb": max(result["peak_mb"] for result in results),
        "out_of_bounds": [
            {"seed": result["seed"], "what": result["what"], "wrong": wrong}
            for result in results
            if (wrong := faulty(result, seconds=SECONDS, megabytes=MEGABYTES))
        ],
    }


def bombs() -> list[dict[str, Any]]:
    """What each bomb cost, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-m", "fuzz.bombs", folder]
        done = subprocess.run(command, cwd=SUPPORT, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    """Run both and write the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=670, help="for each of the carriers")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/intake_fuzz.json"))
    options = parser.parse_args()
    results = run_carriers(options.seeds)
    carriers = {c.name: told([result for result in results if result["carrier"] == c.name]) for c in CARRIERS}
    summary = {
        "bounds": {"seconds": SECONDS, "megabytes": MEGABYTES},
        "files": sum(carrier["files"] for carrier in carriers.values()),
        "worst_seconds": max(carrier["worst_seconds"] for carrier in carriers.values()),
        "worst_peak_mb": max(carrier["worst_peak_mb"] for carrier in carriers.values()),
        "out_of_bounds": sum(len(carrier["out_of_bounds"]) for carrier in carriers.values()),
        "carriers": carriers,
        "bombs": bombs(),
    }
    options.output.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in summary.items() if key not in ("carriers", "bombs")}))


if __name__ == "__main__":
    main()
