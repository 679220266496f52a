"""What all workers of a run must see alike: sums over ranks, and nothing to do when there is one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import distributed, nn

from femseg.errors import Refusal


def number_of_ranks() -> int:
    """How many workers compute together."""
    together = distributed.is_available() and distributed.is_initialized()
    return int(distributed.get_world_size()) if together else 1


def this_rank() -> int:
    """Which of them this process is, from 0."""
    together = distributed.is_available() and distributed.is_initialized()
    return int(distributed.get_rank()) if together else 0


def summed_over_ranks(values: Sequence[float], device: torch.device) -> list[float]:
    """Sum each value over all ranks in float64; the same list on every rank. Every rank must call it."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return total.tolist()


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether any rank says yes. Every rank must call it."""
    return each_of_any_rank([flag], device)[0]


def each_of_any_rank(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """For each flag, whether any rank raises it. Every rank must call it, with as many flags."""
    return [count > 0 for count in summed_over_ranks([float(flag) for flag in flags], device)]


def copy_buffers_of_rank_0(network: nn.Module) -> None:
    """Give every rank rank 0's running statistics; gradients are averaged over ranks, statistics are not."""
    if distributed.is_available() and distributed.is_initialized():
        for buffer in network.buffers():
            distributed.broadcast(buffer, src=0)


@contextmanager
def refused_together(device: torch.device) -> Iterator[None]:
    """A block in which one rank may refuse: then every rank does, TR-08 where it has no reason of its own.

    Every rank must enter it.
    """
    own = None
    try:
        yield
    except Refusal as refusal:
        own = refusal
    if any_rank(own is not None, device):
        raise own or Refusal.of("TR-08", "another worker", "refused to go on", "see that worker's message")
