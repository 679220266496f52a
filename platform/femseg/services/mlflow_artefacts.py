"""Artefacts that the store has whole, or a refusal that says which disk is full."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.errors import ExitCode, Fault, Refusal
from femseg.services.tracking_address import redacted
from femseg.services.tracking_store import STORE_ERRORS, no_answer, store_time_s

_WORDS = 200


@contextmanager
def artefacts_taken(client: MlflowClient, what: str) -> Iterator[None]:
    """Log artefacts in this block. MLflow gives a file its name once it is whole, so what failed is not listed.

    Args:
        what: is logged, for the message.
    Raises: Refusal TK-08 (exit 5) if the store does not take them, TK-01 (6) if it does not answer at all.
    """
    try:
        yield
    except (MlflowException, OSError) as error:
        try:
            store_time_s(client.tracking_uri)
        except STORE_ERRORS:
            raise no_answer(client.tracking_uri, error) from error
        said = (
            error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())[:_WORDS]
        )
        fault = Fault(
            id="TK-08",
            file=redacted(client.tracking_uri),
            problem=f"the artefact store did not take {what}: {said}",
            fix="free space where the artefacts are kept, then run the same command again",
            exit_code=ExitCode.RESOURCE,
        )
        raise Refusal(fault) from error
