"""The account of a search: read from the stage's files, told in words, tables and figures."""

import csv
import json
import math

import pytest

from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.reports.comparison.report import write_comparison_report
from femseg.reports.comparison.search_account import (
    account,
    budget_rows,
    search_figures,
    search_markdown,
    search_record,
)
from femseg.reports.comparison.search_evidence import RungSpent, read_search

RATES, RUNGS, MODES = (0.001, 0.003, 0.01, 0.03), (10, 20), ("raw", "gradient")
BEST = {"raw": 2, "gradient": 3}


def table(path, head, rows):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])


def write_search(folder, *, searcher="halving", enabled=True, failed=(), equal=False):
    """Two modes with four trials each; the upper two go on, and the number `BEST` is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    trials, curves = [], []
    for mode in MODES:
        for index, rate in enumerate(RATES):
            name = f"{mode}-{index:02d}"
            reached = 20 if index >= 2 or searcher == "tpe" else 10
            dice = {
                n: 0.5 if equal else 0.2 + 0.02 * n + 0.1 * index - 0.02 * (index == 3) * (mode == "raw") * n
                for n in RUNGS
            }
            if name in failed:
                trials.append([name, mode, rate, 10, "", "FloatingPointError: <b>diverged</b>"])
                continue
            trials.append([name, mode, rate, reached, max(dice[n] for n in RUNGS if n <= reached), ""])
            for n in range(1, reached + 1):
                curves.append([name, n, 0.9 / math.sqrt(n), dice.get(n, "")])
    if not enabled:
        trials = curves = []
    table(
        folder / "trials.csv",
        ["trial_id", "input_mode", "learning_rate", "iterations", "validation_dice", "failure"],
        trials,
    )
    table(folder / "curves.csv", ["trial_id", "iteration", "train_dice_loss", "validation_dice"], curves)
    settings = {"enabled": enabled, "searcher": searcher, "learning_rate": [0.001, 0.03], "rungs": list(RUNGS)}
    (folder / "search.json").write_text(json.dumps(settings | {"input_modes": list(MODES)}))
    best = {mode: {"trial_id": f"{mode}-{BEST[mode]:02d}"} for mode in MODES}
    (folder / "best.json").write_text(json.dumps({"best": best if enabled else {}}))
    return folder


@pytest.fixture
def search(tmp_path):
    return read_search(write_search(tmp_path / "search"))


def test_trials_come_in_the_order_of_the_settings_with_their_curves(search):
    assert search.modes == MODES
    assert [trial.trial_id for trial in search.trials[:2]] == ["raw-00", "raw-01"]
    assert [len(trial.curve) for trial in search.of_mode("raw")] == [10, 10, 20, 20]
    assert search.best("gradient").trial_id == "gradient-03"
    assert search.trials[0].dice_at(10) == pytest.approx(0.4)
    assert search.trials[0].dice_at(20) is None


def test_the_budget_counts_what_was_trained_for_each_rung(search):
    assert search.spent() == (
        RungSpent(last_iteration=10, trials=8, failed=0, iterations=80),
        RungSpent(last_iteration=20, trials=4, failed=0, iterations=40),
    )
    assert search_record(search)["iterations"] == 120
    assert "120 iterations in all, 75\u00a0% of what" in account(search)[2]


def test_the_account_names_the_choice_and_warns_of_one_at_the_edge(search):
    raw, gradient = account(search)[:2]
    assert raw.startswith("Raw input: learning rate 0.01, validation Dice 0.8")
    assert "outermost" not in raw
    assert "learning rate 0.03" in gradient
    assert "outermost" in gradient


def test_importance_is_told_in_shares_or_said_to_be_unknown(search, tmp_path):
    shares = search_record(search)["importance"]
    assert shares["learning_rate"] > 0.6
    assert sum(shares.values()) == pytest.approx(1)
    assert f"explains {100 * shares['learning_rate']:.0f}\u00a0%" in account(search)[3]
    assert (
        "Noise alone would explain about 29\u00a0% by the learning rate and 14\u00a0% by the input"
        in account(search)[3]
    )
    equal = read_search(write_search(tmp_path / "equal", equal=True))
    assert search_record(equal)["importance"] is None
    assert "Too few trials" in account(equal)[3]


def test_with_tpe_there_is_one_rung_and_nothing_is_saved(tmp_path):
    search = read_search(write_search(tmp_path / "tpe", searcher="tpe"))
    assert budget_rows(search) == [("20", "8", "0", "160")]
    assert "proposed by TPE" in account(search)[2]
    assert "%" not in account(search)[2]


def test_failed_trials_stand_in_the_account_with_their_reason(tmp_path):
    search = read_search(write_search(tmp_path / "failed", failed=("raw-00",)))
    assert search.spent()[0] == RungSpent(last_iteration=10, trials=8, failed=1, iterations=70)
    text = "\n".join(search_markdown(search, {}))
    assert "failed: FloatingPointError" in text
    assert set(search_figures(search)) == {"figure_6_search.png", "figure_7_search_curves.png"}


def test_a_search_that_was_disabled_is_none(tmp_path):
    assert read_search(write_search(tmp_path / "off", enabled=False)) is None


def test_a_missing_table_is_refused_by_name(tmp_path):
    folder = write_search(tmp_path / "search")
    (folder / "curves.csv").unlink()
    with pytest.raises(Refusal, match=r"curves\.csv") as refused:
        read_search(folder)
    assert refused.value.exit_code == ExitCode.INTEGRITY


def test_the_report_tells_of_the_search_in_every_form(evidence_of, tmp_path):
    evidence, pictures = evidence_of()
    search = read_search(write_search(tmp_path / "search", failed=("raw-00",)))
    files = write_comparison_report(evidence, tmp_path, load_picture=pictures.__getitem__, search=search)
    html, text = files["comparison.html"].read_text(), files["comparison.md"].read_text()
    assert "<h2>How the learning rate was found</h2>" in html
    assert html.count("<h3>How each trial learned</h3>") == 1
    assert "## How the learning rate was found" in text
    assert json.loads(files["comparison.json"].read_text())["search"]["chosen"] == {
        "raw": "raw-02",
        "gradient": "gradient-03",
    }
    for name in ("figures/figure_6_search.png", "figures/figure_7_search_curves.png"):
        assert f"({name})" in text
        assert files[name].read_bytes().startswith(b"\x89PNG")


def test_without_a_search_the_report_says_nothing_of_one(evidence_of, tmp_path):
    evidence, pictures = evidence_of()
    files = write_comparison_report(evidence, tmp_path, load_picture=pictures.__getitem__)
    assert "How the learning rate was found" not in files["comparison.html"].read_text()
    assert json.loads(files["comparison.json"].read_text())["search"] is None
