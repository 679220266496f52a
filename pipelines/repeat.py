"""Stages `repeat` and `repeat_cascade`: one training with another fold or seed, and its scores."""

import argparse
from dataclasses import replace

from femseg.comparison.repeats import BEST
from femseg.exits import command_exit
from femseg.networks.package import load_package
from femseg.paths import cascade_name, fold_split, model_of, repeat_of
from femseg.services.cluster.session import ray_session
from femseg.services.fit.driver import train_on_ray
from femseg.services.fit.plan import TrainingPlan, main_plan, refine_plan
from femseg.services.tracking.connect import connect, find_run
from pipelines.evaluate import evaluate
from pipelines.train import best_found, refuse_unfit_repeats, to_be_trained, tracked_run, write_outputs


def run_of_the_registered(name: str) -> str | None:
    """The MLflow run that trained this model; None in a store that never saw it."""
    client, experiment_id = connect()
    return find_run(client, experiment_id, tag="package_sha256", value=load_package(model_of(name)).sha256)


def repeated(plan: TrainingPlan, name: str, fold: int, seed: int) -> TrainingPlan:
    """The plan of a model with another fold and seed; its MLflow run lies below the run of the model to register."""
    folder = repeat_of(name, fold, seed)
    return replace(
        plan,
        name=f"{plan.name} fold {fold} seed {seed}",
        split=fold_split(fold),
        model=folder / "model",
        curves=folder,
        seed=seed,
        parent_run_id=run_of_the_registered(name),
        tags={"fold": str(fold), "seed": str(seed), "repeat": "true"},
    )


def main() -> None:
    """Train and evaluate an input mode, or a cascade over what the same fold and seed found, with one fold and seed."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.repeat", description=__doc__)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--input-mode", choices=["raw", "gradient", "both"])
    wanted.add_argument("--refine", choices=["raw", "gradient", "both", BEST])
    parser.add_argument("--fold", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    given = parser.parse_args()
    refuse_unfit_repeats()
    fold, seed, found_by = given.fold, given.seed, None
    if given.refine:
        found_by = best_found(lambda mode: repeat_of(mode, fold, seed) / "model")
        name = cascade_name(given.refine)
        plan = refine_plan(given.refine, found_by.model.input_mode if given.refine == BEST else given.refine)
    else:
        name, plan = given.input_mode, main_plan(given.input_mode)
    plan = repeated(plan, name, fold, seed)
    with tracked_run(plan) as (job, client):
        if to_be_trained(job, plan):
            with ray_session():
                train_on_ray(job, title=plan.name)
        write_outputs(job, plan, client, found_by=found_by)
    evaluate(load_package(plan.model), plan.split, plan.curves)


if __name__ == "__main__":
    with command_exit():
        main()
