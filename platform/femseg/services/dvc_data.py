"""DVC's side of a repository: where it keeps its objects."""

from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from femseg.promotion.materials import Materials


def materials_of(repository: Path) -> Materials:
    """The repository's data, in the working tree and in DVC's cache; without the cache where DVC is not set up."""
    try:
        with Repo(str(repository)) as repo:
            cache = Path(repo.cache.local.path)
    except DvcException:
        return Materials(root=repository, cache=None)
    return Materials(root=repository, cache=cache)
