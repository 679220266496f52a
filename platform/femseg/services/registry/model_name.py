"""VERSION of the command line: a registered model by number, alias or MLflow's address, or a package in a folder."""

import re
from pathlib import Path

from femseg.errors import Refusal, printable
from femseg.paths import SHIPPED_MODEL

MODEL_NAME, SCHEME = "femseg", "models:/"
SHIPPED = "shipped"  # the model of this installation
IN_USE = f"{SCHEME}{MODEL_NAME}"  # see `doctor.load_for_use`
_ADDRESS = re.compile(rf"{SCHEME}{MODEL_NAME}(/\d{{1,9}}|@[\w-]+)", re.ASCII)
_NUMBER, _ALIAS = re.compile(r"\d{1,9}", re.ASCII), re.compile(r"@?([A-Za-z][\w-]*)", re.ASCII)
ACCEPTED = f"3, champion, @champion, {SCHEME}{MODEL_NAME}/3, {SCHEME}{MODEL_NAME}@champion, or the folder of a package"


def is_registered(model: str) -> bool:
    """Whether it is the address of a registered model; a package's folder otherwise."""
    return model.startswith(SCHEME)


def model_address(text: str) -> str | None:
    """The one address of "3", "champion", "@champion" or an address itself; None if it can be none of them."""
    if _ADDRESS.fullmatch(text):
        return text
    if _NUMBER.fullmatch(text):
        return f"{SCHEME}{MODEL_NAME}/{int(text)}"
    alias = _ALIAS.fullmatch(text)
    return f"{SCHEME}{MODEL_NAME}@{alias[1]}" if alias else None


def named_model(text: str) -> str:
    """The address of a registered model, or the folder of a package, which goes before an alias of its name; "shipped"
    is the folder of the installation's own.

    Raises: Refusal CFG-01 (exit 2) with what is accepted, if it can be neither.
    """
    if text == SHIPPED:
        return str(SHIPPED_MODEL)
    if not is_registered(text) and not _NUMBER.fullmatch(text) and ("/" in text or is_there(text)):
        return text
    if (address := model_address(text)) is None:
        raise Refusal.of("CFG-01", printable(text)[:100] or "VERSION", "names no model", f"give {ACCEPTED}")
    return address


def is_there(text: str) -> bool:
    """Whether a file or folder of this name is there."""
    try:
        return text != "" and Path(text).exists()
    except OSError:  # too long for a name
        return False
