"""The reference says what the code says: settings, fault ids, metrics, files."""

import json
import re
from typing import get_args

import pytest
import yaml
from documentation import PAGES, ROOT

from femseg.cohorts.settings import ArraySettings, CohortSettings
from femseg.cohorts.split import SplitSettings
from femseg.comparison.repeats import CompareSettings, RepeatSettings
from femseg.faults import FAULTS
from femseg.gate.rules import PromotionRules
from femseg.metrics.definitions import METRICS
from femseg.networks.vnet import VNetSettings
from femseg.phantom import PhantomSettings
from femseg.search.halving import SearchSettings
from femseg.services.storage.backend import StorageSettings
from femseg.settings import as_plain
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.synthetic.settings import SyntheticSettings
from femseg.training.settings import OptimisationSettings, TrainSettings
from femseg.training.stored_cases import PatchSettings
from femseg.volumes.network_input import InputMode

REFERENCE = ROOT / "docs/reference"
SECTIONS = {
    "cohort": CohortSettings(),
    "phantom": PhantomSettings(),
    "synthetic": SyntheticSettings(),
    "arrays": ArraySettings(),
    "patches": PatchSettings(),
    "split": SplitSettings(),
    "network": VNetSettings(),
    "optimisation": OptimisationSettings(),
    "search": SearchSettings(),
    "train": TrainSettings(),
    "repeats": RepeatSettings(),
    "compare": CompareSettings(),
    "promotion": PromotionRules(),
    "storage": StorageSettings(),
}


def flat(plain: dict, where: str = "") -> dict:
    pairs: dict = {}
    for key, value in plain.items():
        pairs |= flat(value, f"{where}{key}.") if isinstance(value, dict) else {f"{where}{key}": value}
    return pairs


def rows_of(page: str) -> dict[str, str]:
    """First column, without back-ticks, to the second of every table row that begins with code or a number."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `?([\w.-]+)`? \| `?(.+?)`? \|", text, re.MULTILINE))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_stands_in_the_reference_with_its_default(section):
    described = {key: value for key, value in rows_of("settings.md").items() if key.startswith(f"{section}.")}
    assert {key: json.loads(value) for key, value in described.items()} == flat(
        as_plain(SECTIONS[section]), f"{section}."
    )


@pytest.mark.parametrize("file", ["params.yaml", "params.paper.yaml", "params.shipped.yaml", "params.phantom1mm.yaml"])
def test_every_key_of_a_settings_file_stands_in_the_reference(file):
    document = yaml.safe_load((ROOT / file).read_text())
    assert set(document.pop("input_modes")) <= set(get_args(InputMode))
    keys = {key.removeprefix("refine.") if key.count(".") > 1 else key for key in flat(document)}
    assert {key for key in keys if not key.startswith("painting.")} <= set(rows_of("settings.md"))


def test_the_shipped_models_recipe_states_every_range_of_painting():
    document = yaml.safe_load((ROOT / "params.shipped.yaml").read_text())
    assert flat(document["painting"]) == flat(as_plain(PaintingSettings()))


def test_fault_ids_named_in_the_docs_stand_in_the_table():
    named = {i for page in PAGES for i in re.findall(r"`([A-Z]{2,3}-\d\d)`", page.read_text(encoding="utf-8"))}
    assert named - FAULTS.keys() == set()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metrics_own_words_stand_in_the_reference(metric):
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    missing = [
        words
        for words in (f"## {metric.heading}", f"`{metric.name}`", metric.definition, metric.when_empty, metric.source)
        if words not in page
    ]
    assert missing == []


def test_every_out_of_the_pipeline_stands_in_the_files_reference():
    page = (REFERENCE / "files.md").read_text(encoding="utf-8")
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    outs = [
        re.sub(r"\$\{item\.(\w+)\}", r"<\1>", out)
        for stage in stages.values()
        for out in [*stage["outs"], *stage.get("metrics", [])]
    ]
    assert [out for out in outs if f"`{out}`" not in page] == []
