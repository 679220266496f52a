"""A model's card says what its files say: counts by hand, worst cases first, nothing that a header could smuggle in."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scores import case_score
from security.html_requests import requests_of
from tiny_model import RECIPE

from femseg.cohorts.case import Case, CaseFacts
from femseg.cohorts.split import Split
from femseg.comparison.bootstrap import mean_interval
from femseg.comparison.repeats import CompareSettings
from femseg.formats.source import Source
from femseg.metrics.scorecard import GRIDS
from femseg.networks.package_files import ModelDescription, ScaleDescription, TrainingMetrics, UsedSettings, Windows
from femseg.reports.card.card import card_sections
from femseg.reports.card.facts import CardFacts
from femseg.reports.card.page import card_summary, card_title, write_card
from femseg.settings import as_plain, checked
from femseg.volumes.grid import VoxelGrid
from femseg.volumes.intensity import Scaling
from femseg.volumes.network_input import InputRecipe

SCRIPT = "<script>alert(1)</script>"
STATISTICS = CompareSettings(resamples=200)
DICE = {f"case-{n:02}": 0.9 + n / 200 for n in range(8)}
MODEL = checked(
    ModelDescription,
    {
        "input_mode": "raw",
        "input_recipe": as_plain(RECIPE),
        "architecture": {"settings": {"base_channels": 4}, "input_channels": 1},
        "metrics": {"validation_dice": 0.91, "best_iteration": 40},
        "training": {"train": {"learning_rate": 0.002, "max_iterations": 60}, "optimisation": {"batch_size": 2}},
        "training_range": {
            "spacing_mm_zyx": [[1.0, 0.7, 0.7], [2.5, 0.9, 0.9]],
            "extent_mm_zyx": [[300, 300, 300]] * 2,
        },
        "versions": {"femseg": "0.1.0"},
    },
    where="model",
)


def case(name: str, number: int) -> Case:
    facts = CaseFacts(
        side="left" if number % 2 else "right",
        sex="F" if number < 3 else "M",
        age_years=50 + number,
        metal_ml=4.0 if number == 1 else 0.0,
        femur_ml=400.0 + number,
    )
    grid = VoxelGrid(shape_zyx=(10, 10, 10), spacing_mm_zyx=(2.0, 0.8, 0.8))
    remarks = ("IN-03: Mustermann, Max", "FACT: metal") if number == 1 else ()
    source = Source(kind="volume", files=())
    return Case(
        case_id=name, patient_id=f"patient-{number}", ct=source, mask=source, grid=grid, facts=facts, remarks=remarks
    )


@pytest.fixture(scope="module")
def facts() -> CardFacts:
    trained, validated = ("train-1", "train-2", "train-3"), ("val-1",)
    names = [*DICE, *trained, *validated]
    return CardFacts(
        version=3,
        package_sha256="ab" * 32,
        model=MODEL,
        cohort=SCRIPT,
        cases=[case(name, number) for number, name in enumerate(sorted(names))],
        split=Split(train=trained, validation=validated, test=tuple(DICE)),
        scores=[case_score(name, dice=dice, grid=grid) for name, dice in DICE.items() for grid in GRIDS],
        lineage={"git commit": "12" * 20},
        statistics=STATISTICS,
    )


def section(facts, title: str):
    return next(one for one in card_sections(facts) if one.title == title)


def rows_of(table) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in table.rows}


def test_the_figures_are_the_scores_mean_spread_interval_and_worst(facts):
    values = np.array(list(DICE.values()))
    interval = mean_interval(values, confidence=0.95, resamples=200, seed=0)
    row = rows_of(section(facts, "How well it does").tables["On the CT's own grid"])["Dice (DSC) ↑"]
    assert row == (
        f"{values.mean():.3f} ± {values.std(ddof=1):.3f}",
        f"{interval.low:.3f} to {interval.high:.3f}",
        "0.900",
        "8",
    )


def test_of_a_signed_metric_the_worst_is_the_largest_size(facts):
    scores = [
        replace(row, volume_difference_ml=-30.0 if row.case_id == "case-05" else 2.0)
        for row in facts.scores
        if row.grid == "native"
    ]
    table = section(replace(facts, scores=scores), "How well it does").tables["On the CT's own grid"]
    assert rows_of(table)["Volume difference (ml) → 0"][2] == "−30.0"


def test_the_worst_cases_stand_first_with_what_is_known_of_them(facts):
    rows = section(facts, "Known failures").tables[""].rows
    assert [row[0] for row in rows] == ["case-00", "case-01", "case-02", "case-03", "case-04"]
    assert facts.worst_cases() == [row[0] for row in rows]
    assert rows[1][1] == "0.905"
    assert rows[1][-1] == "left side; 4.0 ml of metal; intake remarked IN-03"


def test_the_data_are_counted_by_part(facts):
    rows = rows_of(section(facts, "Data").tables[""])
    assert rows["cases"] == ("3", "1", "8")
    assert rows["sex"] == ("3 male", "1 male", "3 female, 5 male")
    assert rows["age (years)"] == ("59 (58 … 60)", "61 (61 … 61)", "54 (50 … 57)")
    assert rows["with metal"] == ("0", "0", "1")


def test_the_card_says_below_how_many_cases_there_is_no_interval(facts):
    assert "Groups with fewer than 6 cases get no interval" in section(facts, "Subgroups").note
    sure = replace(facts, statistics=CompareSettings(resamples=200, confidence=0.99))
    assert "fewer than 8 cases get no interval: of so few none can cover at 99 %" in section(sure, "Subgroups").note


def test_subgroups_have_their_own_mean_and_no_interval_where_there_are_too_few(facts):
    rows = rows_of(section(facts, "Subgroups").tables[""])
    assert rows["implant: metal"] == ("0.905", "–", "0.905", "1")
    assert rows["side: left"][0] == f"{np.mean([DICE[f'case-0{n}'] for n in (1, 3, 5, 7)]):.3f} ± 0.013"
    assert rows["side: left"][3] == "4"


def test_what_the_training_did_not_hold_is_said(facts):
    text = " ".join(section(facts, "Intended use").sentences)
    assert "Not in the training data, and so not to be trusted: metal implants, a femur that the field of view" in text
    assert "1 × 0.7 × 0.7 to 2.5 × 0.9 × 0.9 mm" in text


def test_the_card_of_a_cascade_tells_how_either_network_was_trained(facts):
    finer = ScaleDescription(
        architecture=facts.model.architecture,
        input_mode="gradient",
        input_recipe=InputRecipe(
            input_mode="gradient",
            spacing_mm_zyx=(4.0, 2.5, 2.5),
            anti_aliasing=True,
            gradient_scaling=Scaling(kind="window", low=0.0, high=300.0),
        ),
        windows=Windows(shape_zyx=(48, 48, 48)),
        metrics=TrainingMetrics(validation_dice=0.93, best_iteration=240),
        training=UsedSettings(optimisation={"loss": "dice_ce"}),
    )
    cascade = replace(facts, model=replace(facts.model, name="cascade-best", refine=finer))
    alone, both = section(facts, "Training").pairs, section(cascade, "Training").pairs
    assert {f"finding: {what}": said for what, said in alone.items() if what != "software"}.items() <= both.items()
    assert both["cutting out: input"] == "gradient, at 4 × 2.5 × 2.5 mm, in patches of 48 × 48 × 48 voxels (z, y, x)"
    assert both["cutting out: chosen"] == "after iteration 240, by validation Dice 0.9300"
    assert both["cutting out: loss and optimiser"].startswith("soft Dice and cross-entropy; ")
    assert card_title(cascade).endswith("cascade")


def test_the_card_of_a_phantom_model_claims_no_use_on_patients_and_another_says_for_what_it_is(facts, tmp_path):
    for source, said, not_said in (
        ("phantom", "It has seen no patient", "research in orthopaedic planning"),
        ("synthetic", "has seen no patient: for research, and as a start", "orthopaedic planning"),
        ("dicom", "research in orthopaedic planning", "phantom"),
    ):
        named = replace(facts, cohort="Cohort", model=replace(MODEL, cohort_source=source))
        write_card(named, tmp_path / source, [])
        for text in (
            (tmp_path / source / "model_card.md").read_text(),
            (tmp_path / source / "model_card.html").read_text(),
        ):
            assert said in text.replace("&#39;", "'")
            assert not_said not in text
    assert "Femur in phantom CTs" in card_summary(replace(facts, model=replace(MODEL, cohort_source="phantom")))


def test_the_card_is_one_page_that_asks_for_nothing_and_equal_facts_give_equal_bytes(facts, tmp_path, evidence_of):
    pictures = list(evidence_of(modes=("raw",), cases=2)[1].values())
    worst = [replace(one, case_id=name) for one, name in zip(pictures, facts.worst_cases(), strict=False)]
    for folder in ("one", "two"):
        names = write_card(facts, tmp_path / folder, worst)
    assert set(names) == {"model_card.html", "model_card.md", "figures/scores.png", "figures/worst_cases.png"}
    page, again = ((tmp_path / folder / "model_card.html").read_text() for folder in ("one", "two"))
    assert page == again
    assert requests_of(page) == []
    assert SCRIPT not in page
    assert not re.search(r"<script|https?:|@import", page)
    assert page.count("data:image/png;base64,") == 3
    everything = page + (tmp_path / "one" / "model_card.md").read_text() + card_summary(facts)
    assert "Mustermann" not in everything
    assert "femseg, version 3: femur in CT, raw input" in page


def test_without_pictures_there_is_no_figure_of_the_worst_cases(facts, tmp_path):
    assert "figures/worst_cases.png" not in write_card(facts, tmp_path, [])
    assert "worst_cases.png" not in (tmp_path / "model_card.md").read_text()


def test_the_summary_fits_into_the_registry(facts):
    assert len(card_summary(facts)) < 500
    assert "lowest 0.900" in card_summary(facts)
