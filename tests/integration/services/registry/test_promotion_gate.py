"""What may be champion: of many unfit candidates none (G9), and no file, tag or metric that was doctored helps them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from security.payloads import signed_anew
from tiny_registry import CASES, SPLIT, register_candidate, trained, write_candidate, write_cohort, write_evaluated

from femseg.cohorts.manifest import read_case_mask
from femseg.cohorts.split import Split
from femseg.errors import Refusal
from femseg.faults import ExitCode
from femseg.files.durable import sha256_of_file, sha256_of_json
from femseg.gate.rules import Acceptable, Limits, PromotionRules
from femseg.services.registry.aliases import CHAMPION, PREVIOUS, alias_holder, promote, rollback
from femseg.services.registry.audit_log import audit_log
from femseg.services.registry.gate import judge
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import brought_here, register_package, version_number
from femseg.services.tracking.connect import connect, start_run

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow warns of itself
RULES = PromotionRules(acceptable={"dice": Acceptable(mean=0.6, worst_case=0.5, subgroup_mean=0.6)})
ANOTHER = "e" * 64


class Registry:
    """A registry with a champion, and what is needed to put candidates beside it."""

    def __init__(self, folder: Path):
        self.folder, self.count = folder, 0
        self.client, self.experiment_id = connect()
        self.cohort = write_cohort(folder / "cohort")
        self.network = trained(self.cohort)
        self.good = write_candidate(self.cohort, folder / "good", self.network)
        self.champion = self.registered(self.good)
        promote(self.client, self.judged(self.champion))

    def judged(self, version, rules=RULES):
        return judge(self.client, version, rules, manifest=self.cohort.manifest, split=self.cohort.split)

    def made(self, network=None, **changes) -> Path:
        """A candidate's folder: the champion's network and masks in another package, or another network."""
        self.count += 1
        known = {} if network else {"evaluated": self.good / "evaluated"}
        return write_candidate(
            self.cohort, self.folder / f"made-{self.count}", network or self.network, **known, **changes
        )

    def registered(self, folder, **changes) -> int:
        return register_candidate(self.client, self.experiment_id, self.cohort, folder, **changes)

    def version(self, number):
        return self.client.get_model_version(MODEL_NAME, str(number))

    def run_id(self, number) -> str:
        return self.version(number).run_id

    def stored(self, number) -> Path:
        """Where the registry keeps a version's package."""
        return brought_here(self.client, self.version(number).source) / "data/package"

    def predictions(self, number) -> Path:
        """Where the registry keeps a version's saved masks."""
        version = self.version(number)
        artefacts = Path(urlsplit(self.client.get_run(version.run_id).info.artifact_uri).path)
        return artefacts / "predictions" / version.tags["predictions_sha256"][:16]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        yield Registry(folder)


def run_that_is(status: str) -> Callable[[Registry], int]:
    def unfit(registry):
        number = registry.registered(registry.made())
        registry.client.update_run(registry.run_id(number), status=status)
        return number

    return unfit


def deleted_run(registry):
    number = registry.registered(registry.made())
    registry.client.delete_run(registry.run_id(number))
    return number


def stopped_early(registry):
    """What a training leaves that SIGINT ended and that said FINISHED all the same."""
    return registry.registered(registry.made(), curve_until=12)


def run_of_another_package(registry):
    number = registry.registered(registry.made())
    registry.client.set_tag(registry.run_id(number), "package_sha256", ANOTHER)
    return number


def stored_package_that(change: Callable[[Path], object]) -> Callable[[Registry], int]:
    def unfit(registry):
        number = registry.registered(registry.made())
        change(registry.stored(number))
        return number

    return unfit


def flipped(file: Path, place: int = -20) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def another_package(registry):
    number, other = registry.registered(registry.made()), registry.made()
    shutil.rmtree(registry.stored(number))
    shutil.copytree(other / "package", registry.stored(number))
    return number


def renamed_package(registry):
    """Another package in its place, and the version's tag changed to it."""
    number = another_package(registry)
    sha256 = sha256_of_file(registry.stored(number) / "MANIFEST.json")
    registry.client.set_model_version_tag(MODEL_NAME, str(number), "package_sha256", sha256)
    return number


def weights_that_are_nan(registry):
    """A package whose every hash holds, and whose weights are not numbers."""
    folder = registry.made()
    weights = folder / "package/weights.safetensors"
    content = weights.read_bytes()
    head = 8 + int.from_bytes(content[:8], "little")
    weights.write_bytes(content[:head] + np.full((len(content) - head) // 4, np.nan, "<f4").tobytes())
    manifest = json.loads((folder / "package/MANIFEST.json").read_text())
    manifest["files"]["weights.safetensors"] = sha256_of_file(weights)
    manifest["sha256_of_files"] = sha256_of_json(manifest["files"])
    (folder / "package/MANIFEST.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return registry.registered(folder)


def recorded(**metrics) -> Callable[[Registry], int]:
    return lambda registry: registry.registered(
        registry.made(), metrics={name.replace("_", "."): value for name, value in metrics.items()}
    )


def flattering_scorecard(registry):
    folder = registry.made()
    card = folder / "evaluated/scores.csv"
    lines = card.read_text().splitlines()
    cells = lines[1].split(",")
    lines[1] = ",".join([*cells[:2], "0.999", *cells[3:]])
    card.write_text("\n".join(lines) + "\n")
    return registry.registered(folder)


def no_predictions(registry):
    return registry.registered(registry.made(), predictions=False)


def saved_masks_that(change: Callable[[Path], object]) -> Callable[[Registry], int]:
    def unfit(registry):
        number = registry.registered(registry.made())
        change(registry.predictions(number))
        return number

    return unfit


def the_reference_as_prediction(registry):
    """Saved masks that score 1.0 because they are the annotation; every hash holds, and MLflow says the same."""
    folder, test_set = registry.made(), registry.cohort.test_set
    shutil.rmtree(folder / "evaluated")
    truth = {case.case_id: read_case_mask(case, test_set.root).femur_zyx for case in test_set.cases}
    write_evaluated(registry.cohort, folder, truth)
    return registry.registered(folder)


def predictions_of_the_champion(registry):
    """A bad network that shows the champion's masks as its own."""
    folder = registry.made(trained(registry.cohort, iterations=2))
    shutil.rmtree(folder / "evaluated")
    shutil.copytree(registry.good / "evaluated", folder / "evaluated")
    return registry.registered(folder)


def borrowed_predictions(registry):
    """The version's tag names the champion's own predictions."""
    number = registry.registered(registry.made())
    tag = registry.version(registry.champion).tags["predictions_sha256"]
    shutil.copytree(registry.predictions(registry.champion), registry.predictions(number).parent / tag[:16])
    registry.client.set_model_version_tag(MODEL_NAME, str(number), "predictions_sha256", tag)
    return number


def lineage_without(key: str, *, part: str = "") -> Callable[[Registry], int]:
    def unfit(registry):
        whole = json.loads((registry.good / "package/lineage.json").read_text())
        if not part:
            return registry.registered(registry.made(lineage={key: None}))
        return registry.registered(
            registry.made(lineage={key: {name: value for name, value in whole[key].items() if name != part}})
        )

    return unfit


def lineage_with(key: str, part: str, value: object) -> Callable[[Registry], int]:
    def unfit(registry):
        whole = json.loads((registry.good / "package/lineage.json").read_text())
        return registry.registered(registry.made(lineage={key: {**whole[key], part: value}}))

    return unfit


def model_with(**changes) -> Callable[[Registry], int]:
    return lambda registry: registry.registered(registry.made(model=changes))


def stored_with(file: str, **changes) -> Callable[[Registry], int]:
    """The stored package's model.json or lineage.json is of no known form; hashes and tags are made to hold."""

    def unfit(registry):
        number = registry.registered(registry.made())
        package = registry.stored(number)
        plain = json.loads((package / file).read_text())
        (package / file).write_text(json.dumps(plain | changes))
        signed_anew(package)
        sha256 = sha256_of_file(package / "MANIFEST.json")
        registry.client.set_model_version_tag(MODEL_NAME, str(number), "package_sha256", sha256)
        registry.client.set_tag(registry.run_id(number), "package_sha256", sha256)
        return number

    return unfit


def evaluated_on_other_cases(registry):
    """Its test cases were easier: one of them is another."""
    parts = Split(train=(*SPLIT.train[1:], CASES[9]), validation=SPLIT.validation, test=(CASES[0], *SPLIT.test[:-1]))
    other = write_cohort(registry.folder / "other", split=parts)
    folder = write_candidate(other, registry.folder / "other-candidate", registry.network)
    return register_candidate(registry.client, registry.experiment_id, other, folder)


def trained_for(iterations: int) -> Callable[[Registry], int]:
    return lambda registry: registry.registered(registry.made(trained(registry.cohort, iterations=iterations)))


def masks_of_two_cases_swapped(registry):
    """Every mask is one that the package made, and every score is true of the masks as they lie."""
    folder, test_set = registry.made(), registry.cohort.test_set
    masks = {case.case_id: read_mask_of(folder, case) for case in test_set.cases}
    one, other = CASES[5], CASES[6]
    masks[one], masks[other] = masks[other], masks[one]
    shutil.rmtree(folder / "evaluated")
    write_evaluated(registry.cohort, folder, masks)
    return registry.registered(folder)


def read_mask_of(folder: Path, case):
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"evaluated/ct_grid/{case.case_id}.nii.gz"))) > 0


def scorecard_with(column: str, value: str) -> Callable[[Registry], int]:
    def unfit(registry):
        folder = registry.made()
        card = folder / "evaluated/scores.csv"
        head, first, *rest = card.read_text().splitlines()
        cells = first.split(",")
        cells[head.split(",").index(column)] = value
        card.write_text("\n".join([head, ",".join(cells), *rest]) + "\n")
        return registry.registered(folder)

    return unfit


def sealed_again(registry, number: int, change: Callable[[dict], object]) -> int:
    """The list of saved masks is changed, and the version's tag with it: every hash holds."""
    folder = registry.predictions(number)
    plain = json.loads((folder / "PREDICTIONS.json").read_text())
    change(plain)
    (folder / "PREDICTIONS.json").write_text(json.dumps(plain))
    sha256 = sha256_of_file(folder / "PREDICTIONS.json")
    folder.rename(folder.with_name(sha256[:16]))
    registry.client.set_model_version_tag(MODEL_NAME, str(number), "predictions_sha256", sha256)
    return number


def list_that(change: Callable[[dict], object]) -> Callable[[Registry], int]:
    return lambda registry: sealed_again(registry, registry.registered(registry.made()), change)


def scorecard_changed_later(change: Callable[[str], str]) -> Callable[[Registry], int]:
    def unfit(registry):
        number = registry.registered(registry.made())
        card = registry.predictions(number) / "scores.csv"
        card.write_text(change(card.read_text()))
        sha256 = sha256_of_file(card)
        return sealed_again(registry, number, lambda plain: plain["files"].update({"scores.csv": sha256}))

    return unfit


def with_nan(text: str) -> str:
    head, first, *rest = text.splitlines()
    cells = first.split(",")
    return "\n".join([head, ",".join([*cells[:2], "nan", *cells[3:]]), *rest]) + "\n"


def with_a_row_twice(text: str) -> str:
    return text + text.splitlines()[1] + "\n"


def distance_in_mlflow(registry):
    return registry.registered(registry.made(), metrics={"test/native/hausdorff_95_mm": 0.1})


def without_a_length(train: object) -> Callable[[Registry], int]:
    """Stopped early, and its settings do not say how long it should have been."""
    training = {"train": train, "optimisation": {"batch_size": 2}}
    return lambda registry: registry.registered(registry.made(model={"training": training}), curve_until=12)


def as_good(registry):
    return registry.registered(registry.made())


TOO_SLOW = replace(RULES, limits=Limits(seconds_per_case=1e-6))
TOO_LARGE = replace(RULES, limits=Limits(memory_mib=10))
TOO_FEW = replace(RULES, fewest_cases=7)
UNFIT = {  # name: how it is made, which fault refuses it; the rules if they are not RULES
    "RG_01 still running": (run_that_is("RUNNING"), "RG-01"),
    "RG_01 killed": (run_that_is("KILLED"), "RG-01"),
    "RG_01 failed": (run_that_is("FAILED"), "RG-01"),
    "RG_01 scheduled": (run_that_is("SCHEDULED"), "RG-01"),
    "RG_01 run deleted": (deleted_run, "RG-01"),
    "RG_01 interrupted yet finished": (stopped_early, "RG-01"),
    "RG_01 run of another package": (run_of_another_package, "RG-01"),
    "RG_01 no artefact": (stored_package_that(lambda folder: shutil.rmtree(folder.parents[1])), "RG-01"),
    "RG_01 no package in it": (stored_package_that(shutil.rmtree), "RG-01"),
    "RG_01 flipped weight": (stored_package_that(lambda f: flipped(f / "weights.safetensors")), "RG-01"),
    "RG_01 altered settings": (stored_package_that(lambda f: flipped(f / "model.json")), "RG-01"),
    "RG_01 altered lineage": (stored_package_that(lambda f: flipped(f / "lineage.json")), "RG-01"),
    "RG_01 stale manifest": (stored_package_that(lambda f: flipped(f / "MANIFEST.json")), "RG-01"),
    "RG_01 a file too many": (stored_package_that(lambda f: (f / "payload.pkl").write_bytes(b"x")), "RG-01"),
    "RG_01 another package in its place": (another_package, "RG-01"),
    "RG_01 another package and its tag": (renamed_package, "RG-01"),
    "RG_02 untrained": (trained_for(0), "RG-02"),
    "RG_02 worse than the champion": (trained_for(10), "RG-02"),
    "RG_02 validation Dice above 1": (model_with(metrics={"validation_dice": 1.7}), "RG-02"),
    "RG_02 validation Dice missing": (model_with(metrics={}), "RG-02"),
    "RG_01 validation Dice as text": (stored_with("model.json", metrics={"validation_dice": "0.99"}), "RG-01"),
    "RG_02 too few test cases": (as_good, "RG-02", TOO_FEW),
    "RG_03 doctored metric": (recorded(test_native_dice_mean=0.99), "RG-03"),
    "RG_03 infinite metric": (recorded(test_native_dice_mean=float("inf")), "RG-03"),
    "RG_03 metric that is no number": (recorded(test_native_dice_mean=float("nan")), "RG-03"),
    "RG_03 metric missing": (recorded(test_native_dice_mean=None), "RG-03"),
    "RG_03 flattering scorecard": (flattering_scorecard, "RG-03"),
    "RG_03 no predictions": (no_predictions, "RG-03"),
    "RG_03 altered mask": (saved_masks_that(lambda f: flipped(f / f"{CASES[4]}.nii.gz")), "RG-03"),
    "RG_03 missing mask": (saved_masks_that(lambda f: (f / f"{CASES[4]}.nii.gz").unlink()), "RG-03"),
    "RG_03 altered list": (saved_masks_that(lambda f: flipped(f / "PREDICTIONS.json")), "RG-03"),
    "RG_03 a mask too many": (saved_masks_that(lambda f: (f / "more.nii.gz").write_bytes(b"x")), "RG-03"),
    "RG_03 the annotation as prediction": (the_reference_as_prediction, "RG-03"),
    "RG_03 the champion's masks": (predictions_of_the_champion, "RG-03"),
    "RG_03 weights that are no numbers": (weights_that_are_nan, "RG-03"),
    "RG_04 the champion's predictions by tag": (borrowed_predictions, "RG-04"),
    "RG_04 no commit": (lineage_without("git"), "RG-04"),
    "RG_04 code beside the commit": (lineage_with("git", "modified", True), "RG-04"),
    "RG_04 no seed": (lineage_without("seed"), "RG-04"),
    "RG_04 no data hash": (lineage_without("sha256", part="inputs"), "RG-04"),
    "RG_04 no code hash": (lineage_without("sha256", part="code"), "RG-04"),
    "RG_04 no hash of DVC": (lineage_without("dvc_md5", part="data/cohort"), "RG-04"),
    "RG_04 no settings": (model_with(training=None), "RG-04"),
    "RG_04 other data": (lineage_with("sha256", "manifest", ANOTHER), "RG-04"),
    "RG_04 stale split": (lineage_with("sha256", "split", ANOTHER), "RG-04"),
    "RG_04 other test cases": (evaluated_on_other_cases, "RG-04"),
    "RG_01 curve beyond its settings": (lambda registry: registry.registered(registry.made(), curve_until=41), "RG-01"),
    "RG_01 settings without a length": (without_a_length({"seed": 0}), "RG-01"),
    "RG_01 length that is null": (without_a_length({"max_iterations": None}), "RG-01"),
    "RG_01 settings that are a list": (stored_with("model.json", training={"train": [40]}), "RG-01"),
    "RG_01 validation Dice that is true": (stored_with("model.json", metrics={"validation_dice": True}), "RG-01"),
    "RG_02 validation Dice beyond floats": (model_with(metrics={"validation_dice": 10**400}), "RG-02"),
    "RG_03 masks of two cases swapped": (masks_of_two_cases_swapped, "RG-03"),
    "RG_03 flattering distance in the scorecard": (scorecard_with("hausdorff_95_mm", "0.1"), "RG-03"),
    "RG_03 doctored distance in MLflow": (distance_in_mlflow, "RG-03"),
    "RG_03 score that is no number": (scorecard_changed_later(with_nan), "RG-03"),
    "RG_03 a case scored twice": (scorecard_changed_later(with_a_row_twice), "RG-03"),
    "RG_03 list without files": (list_that(lambda plain: plain.update(files=[1])), "RG-03"),
    "RG_03 list without a split": (list_that(lambda plain: plain.pop("split")), "RG-03"),
    "RG_01 seed that is true": (stored_with("lineage.json", seed=True), "RG-01"),
    "RG_01 changes of no known kind": (stored_with("lineage.json", git={"modified": ["x"]}), "RG-01"),
    "RG_10 too slow": (as_good, "RG-10", TOO_SLOW),
    "RG_10 too much memory": (as_good, "RG-10", TOO_LARGE),
}
ALWAYS = {  # the rest takes a minute on two cores
    "RG_01 still running",
    "RG_01 flipped weight",
    "RG_02 worse than the champion",
    "RG_03 doctored metric",
    "RG_03 altered mask",
    "RG_03 the annotation as prediction",
    "RG_03 list without files",
    "RG_04 no seed",
    "RG_04 stale split",
}


@pytest.mark.parametrize(
    "name", [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in UNFIT]
)
def test_an_unfit_candidate_is_refused_with_its_reason_and_the_champion_stays_G9_RG_04(registry, name):
    make, fault_id, *rules = UNFIT[name]
    before = len(audit_log(registry.client).read())
    number = make(registry)
    with pytest.raises(Refusal) as refused:
        promote(registry.client, registry.judged(number, *rules))
    assert alias_holder(registry.client, CHAMPION) == registry.champion
    assert refused.value.exit_code == ExitCode.GATE_REFUSED
    assert fault_id in {fault.id for fault in refused.value.faults}, str(refused.value)
    assert all(f"models:/{MODEL_NAME}/{number}" in str(fault) for fault in refused.value.faults)
    log = audit_log(registry.client).read()
    assert len(log) == before + 1
    assert (log[-1].action, log[-1].version) == ("refuse", number)
    assert fault_id in log[-1].words


@pytest.mark.parametrize("name", ["0", "-1", "²", "١", "9" * 30, "9" * 5000, "1e0", " 1", "../1", "%31"])
def test_a_name_that_is_no_version_is_refused_as_one_RG_12_or_CFG_01(registry, name):
    with pytest.raises(Refusal) as refused:
        version_number(registry.client, name)
    expected = "RG-12" if name == "0" else "CFG-01"
    assert (refused.value.faults[0].id, refused.value.exit_code) == (expected, ExitCode.USAGE)


def test_at_least_thirty_kinds_of_unfit_candidates_are_tried_G9():
    assert len(UNFIT) >= 30


def test_a_worse_challenger_is_refused_with_both_numbers_RG_02(registry):
    number = registry.registered(registry.made(trained(registry.cohort, iterations=10, seed=3)))
    (failed,) = registry.judged(number).failed
    worse, better = (float(word) for word in failed.found.split(",")[0].split(" against "))
    assert worse < better


def test_one_as_good_as_the_champion_takes_its_place_and_one_command_gives_it_back_RG_08(registry):
    number = registry.registered(registry.made())
    decision = registry.judged(number)
    assert decision.failed == ()
    promote(registry.client, decision)
    held = [alias_holder(registry.client, alias) for alias in (CHAMPION, PREVIOUS, "challenger")]
    assert held == [number, registry.champion, None]
    rollback(registry.client)
    held = [alias_holder(registry.client, alias) for alias in (CHAMPION, PREVIOUS)]
    assert held == [registry.champion, number]


def test_a_run_that_has_not_finished_is_not_registered_RG_01(registry):
    folder = registry.made()
    run_id = start_run(registry.client, registry.experiment_id, name="train-raw", params={})
    versions = len(registry.client.search_model_versions(f"name = '{MODEL_NAME}'"))
    with pytest.raises(Refusal) as refused:
        register_package(registry.client, folder / "package", run_id=run_id, tags={}, input_channels=1)
    assert refused.value.exit_code == ExitCode.GATE_REFUSED
    assert "RUNNING" in str(refused.value)
    assert len(registry.client.search_model_versions(f"name = '{MODEL_NAME}'")) == versions


def test_annotations_that_were_altered_judge_nobody_ST_05(registry):
    mask = registry.cohort.folder / f"data/source/{CASES[5]}/mask.nii.gz"
    good = mask.read_bytes()
    try:
        mask.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(Refusal) as refused:
            registry.judged(registry.champion)
        assert refused.value.exit_code == ExitCode.INTEGRITY
        assert refused.value.faults[0].id == "ST-05"
    finally:
        mask.write_bytes(good)


def test_the_same_evidence_gives_the_same_decision_but_for_what_was_measured(registry):
    one, other = (registry.judged(registry.champion) for _ in range(2))
    assert [check for check in one.checks if check.id != "RG-10"] == [
        check for check in other.checks if check.id != "RG-10"
    ]
