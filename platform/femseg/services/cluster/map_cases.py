"""One function over many cases, in parallel on Ray; every case's faults are collected before anything is refused."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from femseg.errors import Fault, Refusal, words_of
from femseg.progress import progress
from femseg.services.cluster.session import require_resources

Item = TypeVar("Item")
Result = TypeVar("Result")


def _outcome(function: Callable[[Any], Any], item: Any) -> Any:
    """Runs on a worker: a refusal is a value there, so that one bad case does not hide the others."""
    try:
        return function(item)
    except Refusal as refusal:
        return refusal


def map_cases(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    names: Sequence[str],
    task: str,
    memory_bytes: int = 0,
    gpus: float = 0.0,
    on_crash: Callable[[Item, Fault], Result] | None = None,
    note: Callable[[Result], str] | None = None,
) -> list[Result]:
    """Apply `function` to every item on Ray workers; results come in the order of the items.

    Args:
        names: what each item is called in messages (case ids).
        task: what is being done, for the progress line.
        memory_bytes: what one case may need; so many cases run at once as the cluster's memory allows.
        gpus: share of a GPU for each case, where the cluster has any.
        on_crash: the result of a case whose worker died; without it the death is refused like any fault.
        note: what the progress line says of a result.
    Raises: Refusal with all faults of all items, or CL-01 (exit 5) if the cluster's memory is too small for one.
    """
    require_resources(what=task, memory_bytes=memory_bytes)
    share = gpus if ray.cluster_resources().get("GPU") else 0.0  # type: ignore[no-untyped-call]
    remote = ray.remote(num_cpus=1, num_gpus=share, memory=memory_bytes, max_retries=0)(_outcome)
    shipped = ray.put(function)
    order = {remote.remote(shipped, item): index for index, item in enumerate(items)}
    results: list[Any] = [None] * len(items)
    refused: list[Fault] = []
    pending = list(order)
    with progress(task, total=len(items)) as advance:
        while pending:
            (ready,), pending = ray.wait(pending, num_returns=1)
            index = order[ready]
            try:
                outcome = ray.get(ready)
            except RayTaskError as error:  # the function's own error: a fault of femseg, not of the case
                words = f"{type(error.cause).__name__}: {error.cause}"
                raise RuntimeError(f"{task}, {names[index]}: {words}") from error
            except RayError as error:
                problem = f"its worker died ({type(error).__name__}: {words_of(error)})"
                fix = "give each case more memory (fewer cases at once) and run the stage again"
                crash = Fault("PP-07", names[index], problem, fix)
                outcome = on_crash(items[index], crash) if on_crash else Refusal(crash)
            if isinstance(outcome, Refusal):
                refused += outcome.faults
            results[index] = outcome
            advance(len(items) - len(pending), note(outcome) if note and not isinstance(outcome, Refusal) else "")
    if refused:
        raise Refusal(sorted(refused, key=lambda fault: (fault.file, fault.id)))
    return results
