"""The report as files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from femseg.reports.comparison.report import write_comparison_report

FILES = {
    "comparison.md",
    "comparison.html",
    "comparison.json",
    "figures/figure_2_inputs.png",
    "figures/figure_3_learning_curves.png",
    "figures/figure_4_scores.png",
    "figures/figure_5_overlays.png",
    "figures/paired_differences_gradient.png",
    "figures/worst_case_1.png",
    "figures/worst_case_2.png",
    "figures/worst_case_3.png",
}


@pytest.fixture(scope="module")
def written(evidence_of, tmp_path_factory):
    evidence, pictures = evidence_of()
    folder = tmp_path_factory.mktemp("report")
    return folder, write_comparison_report(evidence, folder, load_picture=pictures.__getitem__)


def test_every_file_of_the_report_is_there_and_named(written):
    folder, files = written
    assert set(files) == FILES
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == FILES


def test_figures_are_pictures_of_a_readable_size(written):
    _, files = written
    for name in FILES:
        if name.endswith(".png"):
            content = files[name].read_bytes()
            assert content.startswith(b"\x89PNG")
            assert int.from_bytes(content[16:20]) > 1000  # pixels across


def test_the_same_evidence_gives_the_same_bytes(written, evidence_of, tmp_path):
    _, files = written
    evidence, pictures = evidence_of()
    again = write_comparison_report(evidence, tmp_path, load_picture=pictures.__getitem__)
    assert {name: path.read_bytes() for name, path in again.items()} == {
        name: path.read_bytes() for name, path in files.items()
    }


def test_the_record_holds_the_numbers_for_programs(written):
    _, files = written
    record = json.loads(files["comparison.json"].read_text())
    assert set(record["models"]) == {"raw", "gradient"}
    assert record["models"]["raw"]["native"]["dice"]["n"] == 3
    assert record["threshold"]["threshold_hu"] == 200.0
    assert {(c["metric"], c["grid"]) for c in record["comparisons"]} >= {("dice", "network"), ("dice", "native")}
    assert record["headlines"] == ["Too few test cases to tell whether gradient input helps"]


def test_subgroups_stand_in_every_form_of_the_report_with_their_counts(evidence_of, tmp_path):
    groups = {"side": {"case00": "left", "case01": "right", "case02": "right"}}
    evidence, pictures = evidence_of(groups=groups)
    files = write_comparison_report(evidence, tmp_path, load_picture=pictures.__getitem__)
    rows = json.loads(files["comparison.json"].read_text())["subgroups"]["gradient"]
    assert [(row["trait"], row["group"], row["n"], row["adjusted_p"]) for row in rows] == [
        ("side", "left", 1, None),
        ("side", "right", 2, None),
    ]
    text = files["comparison.md"].read_text()
    assert "## Subgroups, gradient − raw" in text
    assert "| side | right | 2 | " in text
    assert "2 cases, at least 6 needed at 95 % |" in text
    assert "<h2>Subgroups</h2>" in files["comparison.html"].read_text()


def test_the_record_holds_effect_sizes_power_and_both_p_values(written):
    _, files = written
    dice = json.loads(files["comparison.json"].read_text())["comparisons"][0]
    assert {"adjusted_p", "tests", "standardised_difference", "detectable_difference", "relevance"} <= dice.keys()
    assert dice["test"].keys() >= {"p_value", "rank_biserial"}
    assert dice["permutation"].keys() == {"p_value", "method"}


def test_the_markdown_holds_a_table_per_grid_and_every_figure(written):
    folder, files = written
    text = files["comparison.md"].read_text()
    rows = [line for line in text.splitlines() if line.startswith("| Dice (DSC) |")]
    assert len(rows) == 2
    assert len({line.count("|") for line in text.splitlines() if line.startswith(("| metric", "| Dice"))}) == 1
    for line in text.splitlines():
        if line.startswith("!["):
            assert (folder / line.split("(")[1].rstrip(")")).is_file()
    assert "not for clinical use" in text


@pytest.mark.parametrize(
    ("modes", "cases", "grids", "threshold"),
    [(("raw",), 1, ("network",), []), (("raw", "gradient", "both"), 2, ("network",), None)],
    ids=["one input, one case, no threshold", "three inputs, two cases"],
)
def test_any_number_of_inputs_and_cases_makes_a_report(evidence_of, tmp_path, modes, cases, grids, threshold):
    changes = {} if threshold is None else {"threshold": threshold}
    evidence, pictures = evidence_of(modes, cases, grids, **changes)
    files = write_comparison_report(evidence, tmp_path, load_picture=pictures.__getitem__)
    record = json.loads(files["comparison.json"].read_text())
    assert len(record["headlines"]) == len(modes) - 1
    assert "On the CT's own grid" not in files["comparison.md"].read_text()


def test_a_label_that_was_stored_mirrored_is_looked_at_first_on_the_page_and_in_the_json(evidence_of, tmp_path):
    evidence, pictures = evidence_of()
    wrong = pictures["case01"]
    bone = wrong.reference_zyx.copy()
    bone[17:20, 5:9, 0:4] = True
    mirrored = {mode: np.flip(bone, 2) for mode in evidence.modes}
    pictures["case01"] = replace(wrong, reference_zyx=bone, predicted_zyx=mirrored)
    bone[3:10, :, 7:] = False
    files = write_comparison_report(evidence, tmp_path, load_picture=pictures.__getitem__)
    listed = json.loads(files["comparison.json"].read_text())["labels_to_look_at"]
    assert listed[0]["case_id"] == "case01"
    assert (listed[0]["kind"], listed[0]["label_error"], listed[0]["dice_if"]) == ("mirrored", True, 1.0)
    assert len(listed) == 3
    for page in ("comparison.html", "comparison.md"):
        told = files[page].read_text()
        assert "Look at these labels first" in told
        assert "with left and right changed, Dice would be 1.000" in told


def test_where_every_case_agrees_no_label_is_listed(evidence_of, tmp_path):
    evidence, pictures = evidence_of()
    agreed = {
        case: replace(one, predicted_zyx=dict.fromkeys(evidence.modes, one.reference_zyx))
        for case, one in pictures.items()
    }
    files = write_comparison_report(evidence, tmp_path, load_picture=agreed.__getitem__)
    assert json.loads(files["comparison.json"].read_text())["labels_to_look_at"] == []
    assert "Look at these labels first" not in files["comparison.html"].read_text()
