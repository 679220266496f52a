"""From the measured costs to docs/explanation/scaling.md and its full list: the model's JSON, figures, tables.

    python -m benchmarks.scaling.scaling_page

`make scaling` measures first. Between `<!-- begin: name -->` and `<!-- end -->` both pages are written by this script.
"""

import json
import re
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.scaling import scaling_figures as figures
from benchmarks.scaling.scaling_figures import Curve, written
from benchmarks.scaling.scaling_model import (
    ETHERNET_10,
    ETHERNET_100,
    INFINIBAND,
    NVLINK,
    PARTS,
    PCIE,
    Assumptions,
    Measured,
    Setting,
    Storage,
    efficiency,
    hours_of_the_papers_training,
    runs_of_one_store,
    samples_per_second,
    seconds_of_a_step,
    sensitivity,
    what_binds,
)
from femseg.files.durable import read_json, write_bytes_durably, write_json_durably

_RESULTS, _IMAGES = Path("benchmarks/results"), Path("docs/images")
_PAGES = (Path("docs/explanation/scaling.md"), _RESULTS / "scaling.md")
_GPUS = tuple(2**n for n in range(11))
_CASES = tuple(60 * (1e6 / 60) ** (n / 24) for n in range(25))
_STORAGES: tuple[Storage, ...] = ("shared folder", "S3", "copy on each node")
_TUNED = {"checkpoint_minutes": 10.0}


def networks() -> dict[str, Assumptions]:
    """Clusters that are compared."""
    base = Assumptions()
    return {
        "NVLink, InfiniBand": base,
        "NVLink, Ethernet 100 Gb/s": replace(base, between=ETHERNET_100),
        "NVLink, Ethernet 10 Gb/s": replace(base, between=ETHERNET_10),
        "PCIe, Ethernet 10 Gb/s": replace(base, inside=PCIE, between=ETHERNET_10),
    }


def modelled(measured: Measured) -> dict[str, Any]:
    """All that figures and tables show."""
    world = Assumptions()
    return {
        "measured": asdict(measured),
        "assumed": asdict(world),
        "efficiency": {
            name: [efficiency(Setting(gpus=n, **_TUNED), measured, one) for n in _GPUS]
            for name, one in networks().items()
        },
        "efficiency_as_the_settings_are": [efficiency(Setting(gpus=n), measured, world) for n in _GPUS],
        "steps_as_the_settings_are": {n: seconds_of_a_step(Setting(gpus=n), measured, world) for n in (1, 8, 64, 1024)},
        "steps": {n: seconds_of_a_step(Setting(gpus=n, **_TUNED), measured, world) for n in (1, 8, 64, 256, 1024)},
        "hours": {
            scale: [
                hours_of_the_papers_training(
                    Setting(gpus=n, **_TUNED), measured, replace(world, noise_scale=float(scale))
                )
                for n in _GPUS
            ]
            for scale in (2, 8, 32, 128)
        },
        "binds": {
            storage: [
                [
                    what_binds(Setting(gpus=n, cases=round(cases), storage=storage, **_TUNED), measured, world)
                    for n in _GPUS
                ]
                for cases in _CASES
            ]
            for storage in _STORAGES
        },
        "hours_of_a_pass_over_a_million_cases": {
            n: 1e6 / samples_per_second(Setting(gpus=n, cases=10**6, **_TUNED), measured, world) / 3600
            for n in (1, 8, 64, 1024)
        },
        "runs_of_one_tracking_server": runs_of_one_store(Setting(gpus=8, **_TUNED), measured, world),
        "sensitivity_with_64_gpus": sensitivity(Setting(gpus=64, **_TUNED), measured, world),
    }


def draw(model: dict[str, Any], counts: list[dict[str, Any]]) -> None:
    """All figures."""
    curves = [Curve(label=name, x=_GPUS, y=values) for name, values in model["efficiency"].items()]
    as_set = model["efficiency_as_the_settings_are"]
    curves.append(Curve(label="as the first, params.paper.yaml's checkpoints", x=_GPUS, y=as_set, dashed=True))
    hours = [Curve(label=f"{scale}", x=_GPUS, y=values) for scale, values in model["hours"].items()]
    written(_IMAGES, "scaling_gpus", partial(figures.gpus, curves, model["steps"]))
    written(_IMAGES, "scaling_batch", partial(figures.batches, hours, 26.0))
    written(_IMAGES, "scaling_binds", partial(figures.binding, model["binds"], _GPUS, _CASES))
    written(_IMAGES, "scaling_sensitivity", partial(figures.sensitivities, model["sensitivity_with_64_gpus"]))
    written(_IMAGES, "scaling_cases", partial(figures.case_counts, counts))


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _long(hours: float) -> str:
    return f"{hours:.1f} h" if hours > 1 else f"{60 * hours:.0f} min"


def _assumptions(world: Assumptions) -> str:
    rows = [
        ("forward, backward and Adam, two samples of 512 × 64 × 64", f"{world.step_seconds * 1e3:.0f} ms",
         "the goal for an H200 in bfloat16: 200 of the 790 TFLOP/s that it reaches in matrix products"),
        *[
            (link.name, f"{link.bytes_per_second / 1e9:.3g} GB/s a GPU, {link.latency_seconds * 1e6:.0f} µs",
             "half of what the standard says" if link is PCIE else "four fifths of what the standard says")
            for link in (NVLINK, PCIE, INFINIBAND, ETHERNET_100, ETHERNET_10)
        ],
        ("exchange hidden behind", f"{world.overlapped:.0%} of a step", "the backward pass; not the last 25 MiB"),
        ("jitter of a GPU's step", f"{world.jitter:.0%}", "a guess; normal, independent from GPU to GPU"),
        ("file server, all nodes together", f"{world.shared_folder / 1e9:.3g} GB/s", "a good NFS server"),
        ("S3, each node", f"{world.s3_of_a_node / 1e9:.3g} GB/s", "a fifth of 100 Gb/s, the store no limit"),
        ("disk of a node", f"{world.disk_of_a_node / 1e9:.3g} GB/s", "one NVMe disk"),
        ("files kept in a node's memory", f"{world.cache_bytes / 1e9:.0f} GB", "half of 1 TB"),
        ("between failures of a GPU", f"{world.hours_between_failures:,.0f} h".replace(",", " "),
         "419 interruptions in 54 days on 16 384 GPUs (Grattafiori et al. 2024)"),
        ("from a lost node to training", f"{world.restart_seconds:.0f} s", "seen once with Ray on one machine"),
        ("gradient noise scale", f"{world.noise_scale:.0f} samples", "unknown; the figure has 2 to 128"),
    ]  # fmt: skip
    return _table(["what", "assumed", "why"], [list(row) for row in rows])


def tables(
    costs: dict[str, Any], counts: dict[str, Any], overhead: dict[str, Any], model: dict[str, Any]
) -> dict[str, str]:
    """The page's tables by name."""
    loads = f"{costs['load_before']:.1f} and {counts['load']:.1f}"
    return {
        "assumptions": _assumptions(Assumptions()),
        "machine": f"The machine had {costs['cores']} cores. Other work ran on it, too: its load was {loads} "
        "when the costs and the cases were measured.",
        **_exchanged(costs),
        **_pieces(costs),
        "tracking": _table(
            ["store", "runs at once", "points a request", "a request", "points a second"],
            [
                [r["store"], str(r["writers"]), str(r["points_a_request"]), _ms(r["seconds_a_request"]),
                 f"{r['points_a_second']:.0f}"]
                for r in costs["tracking"]
            ],
        )
        + f"\n\nThis server takes the curves of {model['runs_of_one_tracking_server']:.0f} runs at once "
        "if their steps take as long as assumed below.",
        "overhead": _table(
            ["between the steps of the demo's training", "of step time"],
            [[name, f"{value:.2%}"] for name, value in overhead["between_steps"]["parts_of_step_time"].items()],
        ),
        **_cases(counts),
        **_modelled(model),
    }  # fmt: skip


def _exchanged(costs: dict[str, Any]) -> dict[str, str]:
    """Gradients between processes, and what that makes of a step."""
    exchange, steps = costs["gradient_exchange_gloo"], costs["data_parallel_step_demo"]
    link = exchange["fitted"]
    paper_rows = [r for r in exchange["rows"] if r["bytes"] == costs["checkpoint"]["paper"]["gradient_bytes"]]
    return {
        "exchange": _table(
            ["processes", "the paper's gradients, all-reduce", "demo's step, alone", "demo's step, data-parallel"],
            [
                [str(r["processes"]), _ms(r["seconds"]), _ms(s["seconds_alone"]), _ms(s["seconds_data_parallel"])]
                for r, s in zip(paper_rows, steps, strict=True)
            ],
        )
        + f"\n\nA line through all exchanges: {_ms(link['latency_seconds'])} a message, "
        f"{link['bytes_per_second'] / 1e9:.2f} GB/s; error {link['median_relative_error']:.0%} (median).",
    }  # fmt: skip


def _pieces(costs: dict[str, Any]) -> dict[str, str]:
    """What is read and written, by size and time."""
    reading, checkpoints = costs["reading_a_case_of_the_papers_size"], costs["checkpoint"]
    return {
        "pieces": _table(
            ["piece", "size", "time"],
            [
                ["gradients of the paper's network", f"{checkpoints['paper']['gradient_bytes'] / 1e6:.0f} MB", ""],
                ["a case of the paper's size, files in memory", f"{reading['bytes_per_case'] / 1e6:.1f} MB",
                 _ms(reading["seconds_from_memory"])],
                ["the same in processor time", f"{reading['bytes_per_case'] / 1e6:.1f} MB",
                 _ms(reading["processor_seconds_from_memory"])],
                ["the same from disk", f"{reading['bytes_per_case'] / 1e6:.1f} MB", _ms(reading["seconds_from_disk"])],
                *[
                    [f"checkpoint of the {name}'s network, written", f"{row['bytes'] / 1e6:.0f} MB",
                     _ms(row["write_seconds"])]
                    for name, row in checkpoints.items()
                ],
            ],
        ),
    }  # fmt: skip


def _cases(counts: dict[str, Any]) -> dict[str, str]:
    """What the number of cases costs."""
    return {
        "cases": _table(
            ["cases", "memory at most", "driver, processor", "worker to its first step, processor", "index"],
            [
                [f"{r['cases']:,}".replace(",", " "), f"{r['mib_at_most']:.0f} MiB",
                 f"{r['driver_processor_seconds_to_describe_the_job']:.2f} s",
                 f"{r['worker_processor_seconds_to_the_first_step']:.1f} s",
                 f"{r['cases'] * r['index_bytes_per_case'] / 1e6:.1f} MB"]
                for r in counts["rows"]
            ],
        ),
    }  # fmt: skip


def _modelled(model: dict[str, Any]) -> dict[str, str]:
    """Steps and passes by the number of GPUs, as the model has them."""
    return {
        "step": _table(
            ["GPUs", *PARTS, "efficiency"],
            [
                [str(n), *[f"{1000 * row[part]:.1f}" for part in PARTS], f"{row['computing'] / sum(row.values()):.0%}"]
                for n, row in model["steps"].items()
            ],
        ),
        "as_set": _table(
            ["GPUs", "step", "of which checkpoints", "efficiency"],
            [
                [str(n), _ms(sum(row.values())), _ms(row["checkpoints"]), f"{row['computing'] / sum(row.values()):.0%}"]
                for n, row in model["steps_as_the_settings_are"].items()
            ],
        ),
        "million": _table(
            ["GPUs", "one pass over a million cases"],
            [[str(n), _long(hours)] for n, hours in model["hours_of_a_pass_over_a_million_cases"].items()],
        ),
    }  # fmt: skip


def renewed(pages: dict[Path, str], parts: dict[str, str]) -> dict[Path, str]:
    """The pages with every marked part replaced. Raises: ValueError if pages and parts do not name the same."""
    marked = sorted(name for page in pages.values() for name in re.findall(r"<!-- begin: (\w+) -->", page))
    if marked != sorted(parts):
        raise ValueError(f"{', '.join(map(str, pages))}: marked parts {marked}, expected {sorted(parts)}")

    def part(found: re.Match[str]) -> str:
        return f"{found[1]}{parts[found[2]]}\n{found[3]}"

    pattern = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return {path: pattern.sub(part, page) for path, page in pages.items()}


def main() -> None:
    costs, counts = (read_json(_RESULTS / f"{name}.json") for name in ("scaling_costs", "case_count"))
    model = modelled(Measured.of(costs))
    write_json_durably(_RESULTS / "scaling_model.json", json.loads(json.dumps(model)))
    draw(model, counts["rows"])
    overhead = read_json(_RESULTS / "ray_train_overhead.json")
    pages = {path: path.read_text(encoding="utf-8") for path in _PAGES}
    for path, text in renewed(pages, tables(costs, counts, overhead, model)).items():
        write_bytes_durably(path, text.encode())


if __name__ == "__main__":
    main()
