"""A model's card, top to bottom: for what it is meant, how well it does, where it fails, and what it comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

from femseg.metrics.definitions import METRICS
from femseg.networks.package_files import ModelDescription, ScaleDescription
from femseg.reports.card.facts import DATA_HEAD, METAL_ML, CardFacts, Section, Table, data_rows
from femseg.reports.card.scores import failures, performance, subgroups
from femseg.reports.comparison.table import NOTHING


def card_sections(facts: CardFacts) -> tuple[Section, ...]:
    """The card, top to bottom."""
    return (
        _intended_use(facts),
        performance(facts),
        failures(facts),
        subgroups(facts),
        Section(
            title="Data",
            sentences=(f"{facts.cohort}. No patient is in two parts. Median and range where there are numbers.",),
            tables={"": Table(head=DATA_HEAD, rows=data_rows(facts.cases, facts.split))},
        ),
        _training(facts),
        Section(title="Lineage", pairs=facts.lineage, note="`femseg lineage` follows and compares every link."),
        Section(
            title="What the numbers mean",
            pairs={m.heading: f"{m.definition} {m.when_empty} {m.source}." for m in METRICS},
        ),
    )


def _purpose(model: ModelDescription, femur: str) -> str:
    """For what a model is, by what it has seen."""
    if model.of_phantoms:
        return (
            f"Segments {femur} in synthetic CTs (phantoms), to show that the pipeline works. It has seen no patient: "
            "do not use its masks of patients' CTs for anything."
        )
    if model.of_no_patient:
        return (
            f"Segments {femur} in a CT of the thigh or pelvis, on the CT's own grid. It learnt from CTs painted over "
            "real bone shapes and has seen no patient: for research, and as a start for a model of your own, by people "
            "who look at every slice of every mask."
        )
    return (
        f"Segments {femur} in a CT of the thigh or pelvis, on the CT's own grid: for research in orthopaedic "
        "planning, measurement and 3-D printing, by people who look at every mask before they use it."
    )


def _intended_use(facts: CardFacts) -> Section:
    seen = facts.model.training_range
    reach = (
        (
            f"It was trained on CTs with a spacing of {_span(seen.spacing_mm_zyx)} mm and a field of view of "
            f"{_span(seen.extent_mm_zyx)} mm (z, y, x). A CT more than 10 % beyond that gets a mask with the reason "
            "IF-04 to review it.",
        )
        if seen
        else ()
    )
    trained = [case for case in facts.cases if case.case_id in facts.split.train]
    sides = sorted({case.femur for case in trained}) or ["all"]
    femur = "the femur" if sides == ["all"] else f"the {' or '.join(sides)} femur"
    unseen = [
        words
        for words, there in (
            ("metal implants", any(case.facts.metal_ml >= METAL_ML for case in trained)),
            ("a femur that the field of view cuts off", any(case.facts.cut_off for case in trained)),
        )
        if not there
    ]
    return Section(
        title="Intended use",
        sentences=(
            _purpose(facts.model, femur),
            *reach,
            *([f"Not in the training data, and so not to be trusted: {', '.join(unseen)}."] if unseen else []),
            "It is research software, no medical device. Nothing is known of how it does on patients and scanners that "
            "the table of data below does not hold: other hospitals, children, fractures, tumours.",
            f"Use: femseg segment CT -o mask.nii.gz --model models:/femseg/{facts.version}",
        ),
    )


def _span(bounds: Sequence[Sequence[float]]) -> str:
    """Least and greatest by axis: "4.0 × 1.8 × 1.8 to …"."""
    least, most = (" × ".join(f"{value:.3g}" for value in values) for values in bounds)
    return least if least == most else f"{least} to {most}"


def _training(facts: CardFacts) -> Section:
    """Of a cascade the network that finds first, then the one that cuts out."""
    model = facts.model
    pairs = {f"{which}{what}": said for which, one in _networks(model) for what, said in _trained(one).items()}
    pairs["software"] = ", ".join(f"{name} {version}" for name, version in model.versions.items())
    return Section(title="Training", pairs={what: value for what, value in pairs.items() if value})


def _networks(model: ModelDescription) -> list[tuple[str, ScaleDescription]]:
    return [("finding: ", model), ("cutting out: ", model.refine)] if model.refine else [("", model)]


def _trained(scale: ScaleDescription) -> dict[str, str]:
    train, how, metrics = scale.training.train, scale.training.optimisation, scale.metrics
    grid, spacing = " × ".join(map(str, scale.seen_shape_zyx)), scale.input_recipe.spacing_mm_zyx
    seen = "resampled to" if spacing is None else f"at {' × '.join(f'{mm:g}' for mm in spacing)} mm, in patches of"
    loss = "soft Dice and cross-entropy" if how.get("loss") == "dice_ce" else "soft Dice"
    return {
        "input": f"{scale.input_mode}, {seen} {grid} voxels (z, y, x)",
        "network": _network(scale.architecture.settings),
        "loss and optimiser": f"{loss}; {how.get('optimizer', '?')}, {how.get('schedule', '?')} schedule",
        "learning rate": f"{train['learning_rate']:.3g}" if "learning_rate" in train else NOTHING,
        "iterations": f"{train.get('max_iterations', NOTHING)}, batches of {how.get('batch_size', NOTHING)}",
        "chosen": f"after iteration {metrics.best_iteration}, by validation Dice {metrics.validation_dice:.4f}"
        if metrics.validation_dice is not None
        else "",
    }


def _network(settings: Mapping[str, Any]) -> str:
    name = settings.get("name", "vnet")
    return f"V-Net, {settings['base_channels']} channels at the top" if name == "vnet" else str(name)
