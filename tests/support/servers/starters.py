"""Many processes that meet a fresh tracking database at one instant."""

import multiprocessing

from femseg.services.tracking.connect import connect

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["pytest", "femseg.services.tracking.connect", "mlflow.store.tracking.sqlalchemy_store"]
)


def _connected(uri: str, together, answers) -> None:
    together.wait(120)
    try:
        answers.put(connect(uri)[1])
    except BaseException as error:
        answers.put(repr(error))


def start_at_once(uri: str, count: int) -> list[str]:
    """What each of `count` processes got: the id of femseg's experiment, or its error."""
    together, answers = PROCESSES.Barrier(count), PROCESSES.Queue()
    processes = [PROCESSES.Process(target=_connected, args=(uri, together, answers)) for _ in range(count)]
    for process in processes:
        process.start()
    got = [answers.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return got
