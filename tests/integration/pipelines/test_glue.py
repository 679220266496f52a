"""What the stages left, computed again from the files by programs that share no code with femseg; and what happens to
search, training and registration when the test part is taken away: the code between the parts is right, too.
"""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import surface_distance
import torch
from medpy.metric import binary
from mlflow.tracking import MlflowClient
from scipy import ndimage
from torch.nn import functional as F

from femseg.networks.package import load_package, write_package

from .stage_in_process import run_here

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and surface-distance warn of themselves
MODES = ("raw", "gradient")


def part(project, name):
    return json.loads((project / "data/split.json").read_text())["parts"][name]


def image(project, case_id, kind):
    """The CT or the mask of a case, as ITK's GDCM reads its DICOM series."""
    (case,) = [
        c for c in json.loads((project / "data/cohort/manifest.json").read_text())["cases"] if c["case_id"] == case_id
    ]
    folder = project / "data/cohort/studies" / case[kind]["files"][0]["path"].rpartition("/")[0]
    return sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))


def on_ct_grid(project, case_id, mode):
    """Reference, predicted mask and spacing."""
    reference = image(project, case_id, "mask")
    predicted = sitk.ReadImage(str(project / f"results/evaluate/{mode}/ct_grid/{case_id}.nii.gz"))
    assert predicted.GetOrigin() == pytest.approx(reference.GetOrigin(), abs=1e-3)
    masks = (sitk.GetArrayFromImage(one) > 0 for one in (reference, predicted))
    return *masks, reference.GetSpacing()[::-1]


def on_network_grid(project, case_id, mode):
    """The same, where the network works: its grid fills the CT's box."""
    ct = image(project, case_id, "ct")
    reference = np.load(project / f"data/arrays/mask/{case_id}.npy")
    predicted = np.load(project / f"results/evaluate/{mode}/network_grid/{case_id}.npy")
    box_mm = np.array(ct.GetSize()[::-1]) * np.array(ct.GetSpacing()[::-1])
    return reference, predicted, tuple(box_mm / reference.shape)


def computed_again(reference, predicted, spacing):
    """Every column of a scorecard, by MedPy, surface-distance and SciPy."""
    surfaces = surface_distance.compute_surface_distances(reference, predicted, spacing)
    areas = [surfaces["surfel_areas_gt"].sum(), surfaces["surfel_areas_pred"].sum()]
    farther = [
        ndimage.distance_transform_edt(~there, sampling=spacing)[here].mean()
        for here, there in ((reference, predicted), (predicted, reference))
    ]
    of_reference, of_predicted = (mask.sum() * np.prod(spacing) / 1000 for mask in (reference, predicted))
    return {
        "dice": binary.dc(predicted, reference),
        "iou": binary.jc(predicted, reference),
        "sensitivity": binary.sensitivity(predicted, reference),
        "precision": binary.precision(predicted, reference),
        "average_hausdorff_mm": max(farther),
        "average_surface_distance_mm": np.average(
            surface_distance.compute_average_surface_distance(surfaces), weights=areas
        ),
        "hausdorff_mm": surface_distance.compute_robust_hausdorff(surfaces, 100),
        "hausdorff_95_mm": surface_distance.compute_robust_hausdorff(surfaces, 95),
        "surface_dice_1mm": surface_distance.compute_surface_dice_at_tolerance(surfaces, 1.0),
        "surface_dice_2mm": surface_distance.compute_surface_dice_at_tolerance(surfaces, 2.0),
        "volume_similarity": 1 - abs(of_predicted - of_reference) / (of_predicted + of_reference),
        "volume_difference_ml": of_predicted - of_reference,
        "reference_volume_ml": of_reference,
        "predicted_volume_ml": of_predicted,
    }


@pytest.mark.parametrize("mode", MODES)
def test_every_score_is_that_of_the_masks_on_disk_with_their_own_grids_spacing(project, mode):
    with (project / f"results/evaluate/{mode}/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    wanted = {(case, grid) for case in part(project, "test") for grid in ("network", "native")}
    assert {(row["case_id"], row["grid"]) for row in rows} == wanted
    for row in rows:
        case, grid = row.pop("case_id"), row.pop("grid")
        masks = on_network_grid if grid == "network" else on_ct_grid
        assert {name: float(cell) for name, cell in row.items()} == pytest.approx(
            computed_again(*masks(project, case, mode)), rel=1e-6
        ), (case, grid)
    means = json.loads((project / f"results/evaluate/{mode}/metrics.json").read_text())
    with (project / f"results/evaluate/{mode}/scores.csv").open() as file:
        dice = [float(row["dice"]) for row in csv.DictReader(file) if row["grid"] == "network"]
    assert means["network"]["dice"] == pytest.approx(np.mean(dice))


def test_the_last_line_of_an_evaluation_says_the_mean_of_its_cases(project, light_copy):
    rc, said = run_here(light_copy, "evaluate --input-mode raw")
    assert rc == 0, said
    mean = json.loads((project / "results/evaluate/raw/metrics.json").read_text())["network"]["dice"]
    assert said.splitlines()[-1] == f"evaluate raw: 2 of 2, mean Dice {mean:.3f}"


def network_says(project, mode, case_id, *, precision=torch.float32):
    """Probability of femur on the network grid, by a softmax."""
    network = load_package(project / "models" / mode).network.eval()
    inputs = torch.from_numpy(np.load(project / f"data/arrays/{mode}/{case_id}.npy"))[None, None]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        return network(inputs).float().softmax(1)[:, 1:]


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_holds_the_voxels_in_which_the_network_gives_femur_one_half_or_more(project, mode):
    for case in part(project, "test"):
        said = network_says(project, mode, case)
        _, predicted, _ = on_network_grid(project, case, mode)
        _, on_the_ct, _ = on_ct_grid(project, case, mode)
        beyond = F.interpolate(said, size=on_the_ct.shape, mode="trilinear", align_corners=False)
        for probability, mask in ((said, predicted), (beyond, on_the_ct)):
            probability = probability[0, 0].numpy()
            sure = abs(probability - 0.5) > 1e-4
            np.testing.assert_array_equal(mask[sure], probability[sure] > 0.5)
            assert ((probability > 0.45) & (probability < 0.5)).any()  # a cut elsewhere would show


@pytest.mark.parametrize("mode", MODES)
def test_the_validation_dice_of_a_model_is_that_of_the_validation_cases_at_one_half(project, mode):
    said = json.loads((project / "models" / mode / "model.json").read_text())["metrics"]["validation_dice"]

    def dice(cases):
        masks = {case: np.load(project / f"data/arrays/mask/{case}.npy") for case in cases}
        found = {case: network_says(project, mode, case, precision=torch.bfloat16)[0, 0].numpy() for case in cases}
        return np.mean([binary.dc(found[case] >= 0.5, masks[case]) for case in cases])

    assert said == pytest.approx(dice(part(project, "validation")), abs=2e-3)
    assert abs(said - dice(part(project, "test"))) > 4e-3  # the test could tell


def test_the_threshold_beside_the_models_is_measured_on_the_test_cases(project):
    def dice(case):
        bright = sitk.GetArrayFromImage(image(project, case, "ct")) >= 200
        components, _ = ndimage.label(bright)
        largest = components == np.argmax(np.bincount(components.ravel())[1:]) + 1
        return binary.dc(largest, sitk.GetArrayFromImage(image(project, case, "mask")) > 0)

    record = json.loads((project / "reports/comparison.json").read_text())
    said = record["threshold"]["native"]["dice"]["mean"]
    assert said == pytest.approx(np.mean([dice(case) for case in part(project, "test")]), rel=1e-6)
    assert said != pytest.approx(np.mean([dice(case) for case in part(project, "train")]), rel=1e-3)


def without_the_test_part(project):
    """Its masks and studies are gone, and its inputs are full of NaN, for a reader that goes around their hashes."""
    cases = {case["case_id"]: case for case in json.loads((project / "data/cohort/manifest.json").read_text())["cases"]}
    for case in part(project, "test"):
        for mode in MODES:
            file = project / f"data/arrays/{mode}/{case}.npy"
            poison = np.full_like(np.load(file), np.nan)
            file.unlink()
            np.save(file, poison)
        (project / f"data/arrays/mask/{case}.npy").unlink()
        shutil.rmtree(project / "data/cohort/studies" / cases[case]["ct"]["files"][0]["path"].partition("/")[0])
    for folder in ("models", "results", "runs", "mlruns", "reports"):
        shutil.rmtree(project / folder)


def test_search_and_training_give_the_same_bytes_when_the_test_part_cannot_be_read(project, light_copy):
    without_the_test_part(light_copy)
    for stage in ("search", "train --input-mode raw"):
        rc, said = run_here(light_copy, stage)
        assert rc == 0, said
    made = ("results/search/trials.csv", "results/train/raw/validation.csv", "models/raw/weights.safetensors")
    for file in made:
        assert (light_copy / file).read_bytes() == (project / file).read_bytes(), file


def let_the_test_cases_say(project, dice_of):
    """Every score of a mode becomes this one, wherever a stage may look it up."""
    for mode, dice in dice_of.items():
        folder = project / "results/evaluate" / mode
        with (folder / "scores.csv").open() as file:
            rows = [row | {"dice": dice, "iou": dice / (2 - dice)} for row in csv.DictReader(file)]
        (folder / "scores.csv").unlink()
        with (folder / "scores.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        for name in ("summary.json", "metrics.json"):
            record = json.loads((folder / name).read_text())
            for grid in record.values():
                grid["dice"] = grid["dice"] | {"mean": dice} if name == "summary.json" else dice
            (folder / name).unlink()
            (folder / name).write_text(json.dumps(record))


def by_validation(project):
    """The better and the worse mode."""
    said = {m: json.loads((project / f"models/{m}/model.json").read_text())["metrics"] for m in MODES}
    worse, better = sorted(MODES, key=lambda mode: said[mode]["validation_dice"])
    return better, worse


@pytest.mark.parametrize("better_on_the_test_cases", MODES)
def test_the_model_that_is_registered_is_the_better_one_by_validation_whatever_the_test_cases_say(
    project, light_copy, better_on_the_test_cases
):
    let_the_test_cases_say(light_copy, {mode: 0.99 if mode == better_on_the_test_cases else 0.01 for mode in MODES})
    rc, said = run_here(light_copy, "register")
    assert rc == 0, said
    chosen = json.loads((light_copy / "results/registration.json").read_text())["input_mode"]
    assert chosen == by_validation(project)[0]


def validated(project, dice_of):
    """The models of these modes, packed anew as if their validation had given this."""
    for mode, dice in dice_of.items():
        package = load_package(project / "models" / mode)
        model = replace(package.model, metrics=replace(package.model.metrics, validation_dice=dice))
        write_package(project / "models" / mode, package.network, model=model, lineage=package.lineage)


def registered(project):
    """Exit code and words of a registration, and then: version → its mode, alias → its version."""
    rc, said = run_here(project, "register")
    client = MlflowClient(f"sqlite:///{project}/mlruns/mlflow.db")
    versions = {int(v.version): v.tags["input_mode"] for v in client.search_model_versions("name = 'femseg'")}
    held = client.get_registered_model("femseg").aliases
    return rc, said, versions, {alias: int(version) for alias, version in held.items()}


def test_versions_and_alias_follow_validation_when_the_test_cases_say_the_contrary(project, light_copy):
    first, other = by_validation(project)
    validated(light_copy, {first: 0.1, other: 0.2})
    let_the_test_cases_say(light_copy, {first: 0.98, other: 0.99})
    rc, said, versions, held = registered(light_copy)
    assert (rc, versions, held) == (0, {1: first, 2: other}, {"challenger": 1}), said
    validated(light_copy, {first: 0.9})
    let_the_test_cases_say(light_copy, {first: 0.01, other: 0.99})
    rc, said, versions, held = registered(light_copy)
    assert (rc, versions, held) == (0, {1: first, 2: other, 3: first}, {"challenger": 3}), said


@pytest.mark.parametrize("poison", ["absent", "NaN"])
def test_without_the_test_parts_arrays_no_alias_moves_and_with_them_the_better_by_validation_has_it(
    project, light_copy, poison
):
    first, other = by_validation(project)
    validated(light_copy, {other: 0.9})
    away = [
        light_copy / f"data/arrays/{kind}/{case}.npy" for kind in (*MODES, "mask") for case in part(project, "test")
    ]
    kept = {file: file.read_bytes() for file in away}
    for file in away:
        poisoned = np.full(np.load(file).shape, np.nan, np.float32)
        file.unlink()
        if poison == "NaN":
            np.save(file, poisoned)
    rc, said, _, held = registered(light_copy)
    assert (rc, held) == (4, {"challenger": 1}), said
    assert any(str(file.relative_to(light_copy)) in said for file in away), said
    for file, content in kept.items():
        file.write_bytes(content)
    rc, said, versions, held = registered(light_copy)
    assert (rc, versions, held) == (0, {1: first, 2: other}, {"challenger": 2}), said
