"""Stage `repeat`: one training with another fold or seed, and its scores: the comparison's scatter."""

import argparse

from femseg.exits import command_exit
from femseg.networks.package import load_package
from femseg.paths import fold_split, model_of, repeats_of
from femseg.services.cluster.session import ray_session
from femseg.services.fit.driver import train_on_ray
from femseg.services.fit.plan import TrainingPlan
from femseg.services.tracking.connect import connect, find_run
from pipelines.evaluate import evaluate
from pipelines.train import refuse_unfit_repeats, to_be_trained, tracked_run, write_outputs


def run_of_the_registered(input_mode: str) -> str | None:
    """The MLflow run that trained models/<mode>; None in a store that never saw it."""
    client, experiment_id = connect()
    sha256 = load_package(model_of(input_mode)).sha256
    return find_run(client, experiment_id, tag="package_sha256", value=sha256)


def repeat_plan(input_mode: str, fold: int, seed: int) -> TrainingPlan:
    """One of the repeats; its MLflow run lies below the run of the model to register."""
    folder = repeats_of(fold, seed) / input_mode
    return TrainingPlan(
        name=f"train {input_mode} fold {fold} seed {seed}",
        input_mode=input_mode,
        split=fold_split(fold),
        model=folder / "model",
        curves=folder,
        seed=seed,
        parent_run_id=run_of_the_registered(input_mode),
        tags={"fold": str(fold), "seed": str(seed), "repeat": "true"},
    )


def main() -> None:
    """Train and evaluate one input mode with one fold and seed; write results/repeats/fold-<f>-seed-<s>/<mode>."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.repeat", description=__doc__)
    parser.add_argument("--input-mode", required=True, choices=["raw", "gradient", "both"])
    parser.add_argument("--fold", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    given = parser.parse_args()
    refuse_unfit_repeats()
    plan = repeat_plan(given.input_mode, given.fold, given.seed)
    with tracked_run(plan) as (job, client):
        if to_be_trained(job, plan):
            with ray_session():
                train_on_ray(job, title=plan.name)
        write_outputs(job, plan, client)
    evaluate(load_package(plan.model), plan.split, plan.curves)


if __name__ == "__main__":
    with command_exit():
        main()
