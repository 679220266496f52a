"""Cells and notes of the tables: what they leave out is said."""

from dataclasses import replace

import pytest
from scores import case_score

from femseg.reports.comparison.report import write_comparison_report
from femseg.reports.comparison.table import markdown, reading_note, subgroup_note, table_rows


def scores(dice, *, native=True, volume=0.0):
    return [
        case_score(f"case{c:02d}", grid, value, 1 - value if value else None, volume_difference_ml=volume + c)
        for c, value in enumerate(dice)
        for grid in (("network", "native") if native else ("network",))
    ]


RAW, GRADIENT = [0.90, 0.91, 0.92, 0.90, 0.88, 0.86, 0.93], [0.92, 0.93, 0.95, 0.90, 0.88, 0.86, 0.95]


@pytest.fixture
def told(evidence_of):
    def made(raw=RAW, gradient=GRADIENT, **changes):
        evidence, _ = evidence_of(scores={"raw": scores(raw, volume=-20.0), "gradient": scores(gradient)}, **changes)
        comparisons = evidence.comparisons()
        rows = {row.metric.name: row.differences[0] for row in table_rows(evidence, comparisons, "network")}
        return rows, reading_note(evidence, comparisons), markdown(evidence, comparisons, [])

    return made


def test_equal_pairs_are_counted_and_said_to_be_set_aside(told):
    rows, note, text = told()
    assert rows["dice"].counts == "4 of 7, 3 equal"
    assert "| 4 of 7, 3 equal |" in text
    assert "Equal cases are set aside in p and effect." in note


def test_pairs_without_a_distance_are_counted_and_said_to_favour_the_model_that_failed(told):
    rows, note, _ = told(gradient=[0.0, *GRADIENT[1:]])
    assert rows["hausdorff_mm"].counts == "3 of 6, 3 equal (1 undefined)"
    assert rows["dice"].counts == "3 of 7, 3 equal"
    assert "which favours the model that failed" in note


def test_surface_dice_at_1_and_2_mm_is_one_row_where_it_is_one_number(evidence_of):
    coarse, _ = evidence_of(cases=4)  # voxels of 4 mm
    (row,) = [r for r in table_rows(coarse, coarse.comparisons(), "network") if r.metric.name.startswith("surface")]
    assert row.metric.heading == "Surface Dice at 1 and 2 mm"
    fine = {mode: [replace(one, surface_dice_2mm=0.99) for one in rows] for mode, rows in coarse.scores.items()}
    parted, _ = evidence_of(cases=4, scores=fine)
    headings = [row.metric.heading for row in table_rows(parted, parted.comparisons(), "network")]
    assert {"Surface Dice at 1 mm", "Surface Dice at 2 mm"} <= set(headings)


def test_rows_that_could_show_nothing_have_a_dash_that_the_note_explains_and_the_answer_keeps_its_words(told):
    rows, note, text = told(RAW[:6], GRADIENT[:6])
    verdicts = {name: row.verdict for name, row in rows.items()}
    assert verdicts.pop("dice") in ("no difference shown", "too few unequal pairs")
    assert set(verdicts.values()) == {"–"}
    assert "– as a verdict: with so few cases, or unequal ones, and 23 rows to adjust for" in note
    assert text.count("too few") <= 2
    rows, note, _ = told([*RAW, *RAW], [r + 0.02 + c / 1000 for c, r in enumerate([*RAW, *RAW])])
    assert rows["iou"].verdict == "better"


def test_what_does_not_occur_is_not_explained(evidence_of):
    everywhere = [r + 0.01 + c / 1000 for c, r in enumerate(RAW)]
    evidence, _ = evidence_of(scores={"raw": scores(RAW, volume=-20.0), "gradient": scores(everywhere)})
    dice = [c for c in evidence.comparisons() if c.metric == "dice"]
    note = reading_note(evidence, dice)
    assert not any(words in note for words in ("Equal cases", "a mask is empty", "several cases"))


def test_the_notes_say_that_each_interval_stands_by_itself(evidence_of):
    evidence, _ = evidence_of(confidence=0.9)
    for note in (reading_note(evidence, []), subgroup_note(evidence)):
        assert "ach interval is at 90 % by itself, not adjusted for the number of rows." in note
    assert "taking the scatter seen as the true one" in reading_note(evidence, [])


def test_the_markdown_has_the_standardised_difference_that_its_note_explains(told):
    rows, note, text = told()
    assert "| effect | d_z | 80 % power |" in text
    assert f"| {rows['dice'].effect} | {rows['dice'].standardised} | {rows['dice'].detectable} |" in text
    assert "(d_z)" in note


def test_a_difference_of_sizes_is_told_from_one_of_signed_means(told):
    rows, _, _ = told()
    assert rows["volume_difference_ml"].mean.endswith(" (of sizes)")
    assert "sizes" not in rows["dice"].mean


@pytest.mark.parametrize(("count", "who"), [(1, "1 patient has several cases"), (2, "2 patients have several cases")])
def test_several_cases_of_a_patient_are_said_beside_the_verdict_and_in_the_note(evidence_of, tmp_path, count, who):
    evidence, pictures = evidence_of(patients_with_several=count)
    files = write_comparison_report(evidence, tmp_path, load_picture=pictures.__getitem__)
    said = f"{who}; cases are treated as independent, so intervals and p are too small."
    for name in ("comparison.md", "comparison.html"):
        assert files[name].read_text().count(said) == 2
    alone, _ = evidence_of()
    assert "several cases" not in reading_note(alone, alone.comparisons())
