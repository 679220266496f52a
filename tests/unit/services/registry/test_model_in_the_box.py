"""The model that comes with femseg: whole, small, of no patient, and the one that its evidence speaks of."""

import json
from pathlib import Path

from femseg.networks.package import load_package
from femseg.paths import SHIPPED_MODEL

ROOT = Path(__file__).parents[4]


def test_it_is_whole_and_has_seen_no_patient():
    package = load_package(SHIPPED_MODEL)
    assert package.model.cohort_source == "synthetic"
    assert package.model.training_range is not None
    thickest_mm = package.model.training_range.spacing_mm_zyx[1][0]
    assert thickest_mm == 5.0  # that its painter shows, not the one of the scans on disk


def test_it_takes_at_most_twelve_megabytes():
    assert sum(file.stat().st_size for file in SHIPPED_MODEL.rglob("*")) <= 12e6


def test_the_evidence_is_of_these_weights():
    evidence = json.loads((ROOT / "benchmarks/results/shipped_evidence.json").read_text(encoding="utf-8"))
    assert evidence["package_sha256"] == load_package(SHIPPED_MODEL).sha256
    assert {"pelvis", "painted_real_shapes", "negatives"} <= evidence.keys()


def test_the_licence_of_the_shapes_it_was_taught_with_is_named():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert "shipped model" in notice
    assert "LLP26" in notice
    assert "MPL-2.0" in notice
