"""What this machine has: cores, memory and disk that this process may use, and GPUs."""

import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from femseg.planning.facts import MachineFacts

_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # flags and features of processors that compute in it


def this_machine(folder: Path) -> "MachineFacts":
    """The machine's facts.

    Args:
        folder: whose disk counts.
    """
    import torch  # seconds, which whoever asks for cores alone saves

    from femseg.planning.facts import MachineFacts  # it loads the networks

    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return MachineFacts(
        cores=usable_cores(),
        memory_bytes=usable_memory_bytes(),
        disk_bytes=shutil.disk_usage(folder).free,
        gpus=len(gpus),
        gpu_bytes=min((gpu.total_memory for gpu in gpus), default=0),
        bfloat16=torch.cuda.is_bf16_supported() if gpus else has_bfloat16(),
    )


def usable_cores(root: Path = Path("/")) -> int:
    """By affinity, and by the quotas of the process's control groups.

    Args:
        root: where proc and sys lie.
    """
    cores = float(len(os.sched_getaffinity(0)))
    for group in _groups(root, "cpu"):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():
            cores = min(cores, int(quota) / int(period))
    return max(1, math.ceil(cores))


def usable_memory_bytes(root: Path = Path("/")) -> int:
    """Of the machine, or as much as the process's control groups allow."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for group in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _text(group / name)
            if limit.isdigit():
                memory = min(memory, int(limit))
    return memory


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the control group (version 2, or 1) that this process is in, and of those above."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = mount / path.strip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(mount))


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def has_bfloat16(root: Path = Path("/")) -> bool:
    """Whether the processor has instructions for it."""
    lines = _text(root / "proc/cpuinfo").splitlines()
    words = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    return bool(_BFLOAT16 & set(next(words, [])))
