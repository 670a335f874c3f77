"""CPU time and memory of a process and everything that it started, from Linux's /proc."""

import asyncio
import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.25


def tree(pid: int) -> list[int]:
    """The process and its descendants that are alive."""
    found, at = [pid], 0
    while at < len(found):
        found += _children(found[at])
        at += 1
    return found


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        # A child belongs to the thread that started it.
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, with that of children that ended and were waited for."""
    return sum(_ticks(one) for one in tree(pid)) / _TICKS


def _ticks(pid: int) -> int:
    try:
        # proc(5): after the name in brackets, fields 14 to 17 are utime, stime, cutime, cstime.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(field) for field in fields[11:15])


def pss_bytes(pid: int) -> int:
    """Proportional set size of the tree: each shared page counts once, divided among those who share it."""
    return sum(_pss(one) for one in tree(pid))


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


class PeakMemory:
    """The largest PSS of a tree among samples, as an async context."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._task: asyncio.Task[None] | None = None
        self.bytes = 0

    async def __aenter__(self) -> "PeakMemory":
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, await asyncio.to_thread(pss_bytes, self._pid))
            await asyncio.sleep(SAMPLE_SECONDS)
