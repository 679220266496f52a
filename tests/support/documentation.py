"""The documentation as tests read it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / f"{n}.md" for n in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY"))]
)
_FENCED = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def command_lines(page: Path) -> list[str]:
    """Every command named on a page: lines of bash blocks, comments cut, and inline code."""
    text = page.read_text(encoding="utf-8")
    blocks = [body for kind, body in _FENCED.findall(text) if kind == "bash"]
    lines = [part for body in blocks for line in body.splitlines() for part in line.split("&&")]
    lines += _INLINE.findall(_FENCED.sub("", text))
    lines = [line.split(" #")[0].strip() for line in lines]
    return [line.rstrip('"') if line.count('"') % 2 else line for line in lines]  # the end of bash -c "… && …"
