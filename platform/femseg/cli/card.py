"""`femseg card`: the model card of a registered version."""

import json
from pathlib import Path

from femseg.services.tracing import required_registry, required_version
from femseg.services.version_card import bring_card


def write_card_of(version: str, folder: Path, *, as_json: bool) -> None:
    """Bring the card of a version into a folder and say which files there are."""
    uri = required_version(version)
    files = bring_card(required_registry(uri).client, uri, folder)
    if as_json:
        print(json.dumps({"version": uri, "files": [str(file) for file in files]}, indent=2))
        return
    for file in files:
        if file.suffix in (".html", ".md"):
            print(file)
