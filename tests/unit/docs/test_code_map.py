"""The code map names every folder of the package and nothing that is not there."""

import re

from documentation import ROOT

PACKAGE = ROOT / "platform/femseg"
PAGE = (ROOT / "docs/explanation/code-map.md").read_text(encoding="utf-8")
TREE = re.search(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]


def folders_of_the_tree() -> set[str]:
    """Every folder that the tree names, from the repository's root."""
    above, found = [], set()
    for line in TREE.splitlines():
        indent, name = re.match(r"( *)(\S+)/ ", line).groups()
        above[len(indent) // 2 :] = [name]
        found.add("/".join(above))
    return found


def test_every_folder_of_the_package_stands_in_the_tree():
    folders = {file.parent.relative_to(ROOT).as_posix() for file in PACKAGE.rglob("*.py")}
    assert folders - folders_of_the_tree() == set()


def test_every_folder_of_the_tree_exists():
    assert [folder for folder in folders_of_the_tree() if not (ROOT / folder).is_dir()] == []


def test_every_path_that_the_map_names_exists():
    paths = [path for path in re.findall(r"`([\w/.]*(?:/|\.py))`", PAGE) if path != "platform/"]
    assert len(paths) > 10
    missing = [path for path in paths if not any((root / path).exists() for root in (ROOT, PACKAGE))]
    assert [path for path in missing if not list((ROOT / "tests").rglob(path))] == []
