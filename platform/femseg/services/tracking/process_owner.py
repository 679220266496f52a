"""Which process something belongs to, in words that any process can judge: a run in MLflow, a claim in the storage."""

import os
import socket
from pathlib import Path


def this_process() -> str:
    """Host, process and when it began; and the boot and process namespace in which its number means something."""
    here = " ".join(f"{key}={value}" for key, value in _here().items())
    return f"host={socket.gethostname()} pid={os.getpid()} began={_began(os.getpid())} {here}"


def parts(owner: str) -> dict[str, str]:
    """The words of `this_process` by name."""
    return dict(word.split("=", 1) for word in owner.split() if "=" in word)


def lives_here(owner: str) -> bool | None:
    """Whether a process of this machine is alive; None of another machine's, or one before this machine's start."""
    found = parts(owner)
    if {key: found.get(key) for key in _here()} != _here():
        return None
    return bool(found["began"]) and _began(int(found["pid"])) == found["began"]


def _here() -> dict[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    return {
        "boot": boot.read_text().strip() if boot.exists() else "unknown",
        "namespace": str(namespace.readlink()) if namespace.exists() else "unknown",
    }


def _began(pid: int) -> str:
    """When a process began, in ticks since boot; "" if there is none (a zombie is none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
