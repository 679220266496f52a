"""The demo as everyone runs it, and what the README says of it: the same answer on any machine, and numbers close by.

Other processors round otherwise, and trainings end a little apart. So numbers have a tolerance; the verdict has none.
"""

import json
import re

import pytest
from tiny_project import ROOT, copy_of_the_working_tree, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What `make repro` leaves in reports/comparison.json."""
    folder = copy_of_the_working_tree(tmp_path_factory.mktemp("demo") / "project", settings={})
    run(folder, "dvc", "repro")
    return json.loads((folder / "reports/comparison.json").read_text())


def row(title: str) -> list[float]:
    """The numbers of a row of the README's table."""
    (cells,) = re.findall(rf"^\| {re.escape(title)} \| (.+) \|$", README, re.MULTILINE)
    return [float(number.replace("−", "-")) for number in re.findall(r"[+−]?\d+(?:\.\d+)?", cells)]


def dice(left):
    chosen = ("dice", "network", "gradient")
    return next(one for one in left["comparisons"] if (one["metric"], one["grid"], one["candidate"]) == chosen)


def test_the_readme_says_the_verdict_that_the_demo_reaches(left):
    headline = left["headlines"][0]  # of the gradient; a cascade has one of its own
    assert f"**{headline}**" in README
    assert dice(left)["verdict"] == "better"


def test_the_verdict_is_clear_of_the_level_and_so_survives_other_roundings(left):
    one = dice(left)
    assert one["n"] >= 12
    assert one["adjusted_p"] < 0.01
    assert one["interval"]["low"] > 0.002


@pytest.mark.parametrize("mode", ["raw", "gradient"])
def test_the_readme_has_each_models_dice(left, mode):
    means = left["models"][mode]["network"]["dice"]
    said = row("V-Net on the CT" if mode == "raw" else "V-Net on the gradient")
    assert said[:2] == pytest.approx([means["mean"], means["standard_deviation"]], abs=0.006)


def test_the_readme_has_the_thresholds_dice_which_no_training_changes(left):
    means = left["threshold"]["network"]["dice"]
    said = row("plain threshold at 200 HU, largest component")
    assert said == pytest.approx([means["mean"], means["standard_deviation"]], abs=0.0006)


def test_the_readme_has_the_difference_with_its_interval_and_counts(left):
    one = dice(left)
    difference, _, low, high, _, higher, cases, *_ = row("difference gradient − CT, paired by case")
    found = (one["mean_difference"], one["interval"]["low"], one["interval"]["high"])
    assert (difference, low, high) == pytest.approx(found, abs=0.006)
    assert cases == one["n"]
    assert higher == pytest.approx(one["improved"], abs=2)
