"""What is installed, told by its metadata and files: importing PyTorch or Ray to ask them would take seconds."""

import os
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, metadata, requires
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from femseg.errors import Fault
from femseg.installation.machine import has_bfloat16, usable_cores

_OF_DEVELOPERS = ("dev", "peers")
_GPUS = "proc/driver/nvidia/gpus"
_RAYLET = "core/src/ray/raylet/raylet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that was looked at.

    Attributes:
        what: in a word or two.
        words: what was found; the fault says it where something is to mend.
    """

    what: str
    words: str = ""
    fault: Fault | None = None

    def line(self) -> str:
        """As a line on the terminal."""
        if self.fault is None:
            return f"ok    {self.what}: {self.words}"
        return f"mend  {self.what}: {self.fault.problem}. {self.fault.fix[:1].upper()}{self.fault.fix[1:]}."


def packages_found() -> Found:
    """Whether every package that femseg needs is there, in a version that it takes."""
    wrong = [words for requirement in _required("") if (words := _lack(requirement))]
    if wrong:
        problem, fix = f"installed otherwise than femseg needs: {', '.join(wrong)}", "pip install femseg, or `make`"
        return Found(what="packages", fault=Fault("CFG-02", "packages", problem, fix))
    return Found(what="packages", words=f"{len(_required(''))} needed, all there in versions that femseg takes")


def extras_found() -> Found:
    """Which optional parts are there; what is not installed is no fault."""
    names = sorted({*(metadata("femseg").get_all("Provides-Extra") or ())} - {*_OF_DEVELOPERS})
    there = [name for name in names if not any(map(_lack, _required(name)))]
    missing = [f"{name} (pip install 'femseg[{name}]')" for name in names if name not in there]
    absent = f"; not installed: {', '.join(missing)}" if missing else ""
    return Found(what="extras", words=f"{', '.join(there) or 'none'}{absent}")


@cache
def _requirements() -> tuple[Requirement, ...]:
    return tuple(map(Requirement, requires("femseg") or ()))


def _required(extra: str) -> list[Requirement]:
    """What femseg needs by itself, or what one of its extras adds."""

    def holds(requirement: Requirement, extra: str) -> bool:
        return requirement.marker is None or requirement.marker.evaluate({"extra": extra})

    return [one for one in _requirements() if (not extra or not holds(one, "")) and holds(one, extra)]


def _version(name: str) -> str:
    """Of its metadata, which `importlib.metadata.version` would parse to the last line of its description."""
    found = re.search(r"^Version: (.+)$", distribution(name).read_text("METADATA") or "", re.MULTILINE)
    return found[1] if found else ""


def _lack(requirement: Requirement) -> str:
    """What is wrong with a package; "" if nothing is."""
    try:
        found = _version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not there"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"{requirement.name} is {found}, wanted {requirement.specifier}"


def torch_found(root: Path = Path("/")) -> Found:
    """PyTorch's version, what it was built for, and the processors that it will find.

    Args:
        root: where proc and sys lie.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return _absent("torch")
    built = Path(spec.origin).with_name("version.py")
    cuda = re.search(r"^cuda[^=]*= ['\"]([\d.]+)", built.read_text() if built.exists() else "", re.MULTILINE)
    gpus = [_model(file) for file in sorted((root / _GPUS).glob("*/information"))]
    if gpus and not cuda:
        problem = f"{_version('torch')} is built without CUDA, and this machine has {', '.join(gpus)}"
        fix = "install the build for its driver (https://pytorch.org/get-started/locally), or train without it"
        return Found(what="torch", fault=Fault("CFG-02", "torch", problem, fix))
    threads = os.environ.get("OMP_NUM_THREADS")
    processors = f"{usable_cores(root)} cores" + (f", OMP_NUM_THREADS={threads}" if threads else "")
    bfloat16 = f"{'with' if has_bfloat16(root) else 'no'} bfloat16 instructions"
    graphics = f"{', '.join(gpus)} by its driver" if gpus else "no NVIDIA GPU"
    words = f"{_version('torch')}, {f'CUDA {cuda[1]}' if cuda else 'no CUDA'}; {processors}, {bfloat16}, {graphics}"
    return Found(what="torch", words=words)


def _model(file: Path) -> str:
    found = re.search(r"^Model:\s*(.+?)\s*$", file.read_text(), re.MULTILINE)
    return found[1] if found else "an NVIDIA GPU"


def ray_found() -> Found:
    """Whether Ray and its program for a node are there; neither is started."""
    spec = find_spec("ray")
    if spec is None or spec.origin is None:
        return _absent("ray")
    if not os.access(program := Path(spec.origin).parent / _RAYLET, os.X_OK):
        fix = "install it again: pip install --force-reinstall ray"
        return Found(what="ray", fault=Fault("CFG-02", "ray", f"lacks {program}, or it may not be run", fix))
    return Found(what="ray", words=f"{_version('ray')}, with its program for a node; not started")


def _absent(name: str) -> Found:
    return Found(what=name, fault=Fault("CFG-02", name, "is not installed", "pip install femseg, or `make`"))
