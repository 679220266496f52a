"""The arms that say what each ingredient of the shipped model gives."""

import json
import sys
from dataclasses import replace

import pytest

from benchmarks.shipped import ablations
from femseg.files.durable import sha256_of_file
from femseg.paths import MANIFEST
from femseg.synthetic.painting_settings import PaintingSettings


def scored(arm, seed, dice):
    both_sides = {"right (intact)": dice, "left (nailed)": dice / 2}
    return {
        "arm": arm,
        "seed": seed,
        "pelvis": {"dice": both_sides, "elsewhere_ml": 3.0},
        "hips_mean_dice": 0.9,
        "hips_least_dice": 0.8,
    }


def test_the_table_has_means_over_seeds_and_how_far_these_lie_apart():
    arms = [scored("raw", 0, 0.8), scored("raw", 1, 0.84), scored("phantoms", 0, 0.5)]
    lines = ablations.table({"means": ablations.means(arms)}).splitlines()
    assert lines[2] == "| CT | 0.820 ± 0.020 | 0.410 ± 0.010 | 3.0 ml | 0.900 ± 0.000 |"
    assert lines[3] == "| phantoms, not painted | 0.500 | 0.250 | 3.0 ml | 0.900 |"
    assert {line.count("|") for line in lines} == {6}


def test_an_arm_of_which_the_result_is_there_is_not_trained_again(tmp_path, monkeypatch, capsys):
    manifest, output = tmp_path / MANIFEST, tmp_path / "result.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    trained = []

    def run(arm, name, seed, steps, build, folder):
        trained.append((name, seed, steps))
        return scored(name, seed, 0.8)

    monkeypatch.setattr(ablations, "run", run)
    words = ["ablations", "--build", str(tmp_path), "--minutes", "3", "--output", str(output)]
    for arms, seeds in ((["raw"], ["0"]), (["raw", "gradient"], ["0", "1"])):
        monkeypatch.setattr(sys, "argv", [*words, "--arms", *arms, "--seeds", *seeds])
        ablations.main()
    assert trained == [("raw", 0, 400), ("gradient", 0, 400), ("raw", 1, 400), ("gradient", 1, 400)]
    result = json.loads(output.read_text())
    assert result["people_sha256"] == sha256_of_file(manifest)
    assert result["means"]["raw"]["seeds"] == 2
    monkeypatch.setattr(sys, "argv", [*words, "--minutes", "6"])
    with pytest.raises(SystemExit):
        ablations.main()
    assert "holds arms of 400 steps" in capsys.readouterr().err


def test_an_arm_that_another_core_finished_meanwhile_is_kept(tmp_path, monkeypatch):
    manifest, output = tmp_path / MANIFEST, tmp_path / "result.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")

    def started(arm):
        words = ["ablations", "--build", str(tmp_path), "--output", str(output), "--arms", arm]
        monkeypatch.setattr(sys, "argv", words)
        ablations.main()

    def run(arm, name, seed, steps, build, folder):
        if name == "both":
            started("raw")
        return scored(name, seed, 0.8)

    monkeypatch.setattr(ablations, "run", run)
    started("both")
    result = json.loads(output.read_text())
    assert [one["arm"] for one in result["arms"]] == ["raw", "both"]
    assert result["means"].keys() == {"raw", "both"}
    assert ablations.table(result).splitlines()[2].startswith("| CT |")


def test_an_arm_differs_from_the_recipe_in_the_one_thing_it_is_named_for():
    recipe = PaintingSettings()
    alone, fixed = (ablations.ARMS[name].painted(recipe) for name in ("no-neighbours", "one-scanner"))
    assert alone == replace(recipe, bones=replace(recipe.bones, others_absent=1.0))
    assert (fixed.bones, fixed.tissues) == (recipe.bones, recipe.tissues)
    for name in ("blur_mm", "slice_mm", "noise_hu", "noise_mm", "overshoot"):
        low, high = getattr(recipe.scanner, name)
        assert low <= getattr(fixed.scanner, name)[0] == getattr(fixed.scanner, name)[1] <= high
