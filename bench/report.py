"""The rounds' numbers as one table with limits, and the page that keeps it with the machine it was measured on."""

import datetime
import importlib.metadata
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measures import Plan, Round
from bench.stage import GUILDS, RENDER_SECONDS

RESPONSE_LIMIT = 3.0
"""Seconds; Discord's docs, 2026-08."""
PACKAGES = ("discord.py", "aiohttp", "httpx", "SQLAlchemy", "aiosqlite", "av", "structlog")


@dataclass(frozen=True)
class Row:
    """One measure of both bots, in the unit that `text` ends with. `met` is None where there is no limit."""

    text: str
    floor: float
    cinecord: float
    limit: str = "–"
    met: bool | None = None

    @property
    def ratio(self) -> float:
        return self.cinecord / self.floor if self.floor else float("inf")

    def cells(self) -> list[str]:
        """As the table shows it."""
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        return [self.text, f"{self.floor:.4g}", f"{self.cinecord:.4g}", f"{self.ratio:.2f}×", self.limit, verdict]


def rows(floor: Sequence[Round], cinecord: Sequence[Round]) -> list[Row]:
    """Medians over the rounds, and whether each limit is met."""

    def row(text: str, of: Callable[[Round], float], scale: float, most: float | None = None) -> Row:
        ours, least = (scale * statistics.median(map(of, rounds)) for rounds in (cinecord, floor))
        if most is None:
            return Row(text, least, ours)
        return Row(text, least, ours, f"≤ {most:g}×", ours <= most * least)

    slowest = [max(one.response_slowest for one in rounds) for rounds in (floor, cinecord)]
    return [
        row("first response in the burst, p50, ms", lambda r: r.response_p50, 1e3),
        row("first response in the burst, p99, ms", lambda r: r.response_p99, 1e3, 2.0),
        Row(
            "first response, slowest of all, ms", slowest[0] * 1e3, slowest[1] * 1e3,
            f"< {RESPONSE_LIMIT:g} s", slowest[1] < RESPONSE_LIMIT,
        ),
        row("API's answer to posted message, ms", lambda r: r.answer_to_post, 1e3, 1.3),
        row("CPU per job, single jobs, ms", lambda r: r.cpu_single, 1e3, 2.5),
        row("CPU per job, burst, ms", lambda r: r.cpu_burst, 1e3, 2.5),
        row("peak memory (PSS), MB", lambda r: r.memory, 1e-6),
        row("requests to Discord per job", lambda r: r.requests, 1),
    ]  # fmt: skip


HEAD = ["measure", "floor", "Cinecord", "ratio", "limit", ""]


def table(found: Sequence[Row]) -> str:
    """Aligned columns that are Markdown as well."""
    lines = [HEAD, *(row.cells() for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    text = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    text.insert(1, " | ".join("-" * max(3, width) for width in widths))
    return "\n".join(f"| {line} |" for line in text)


def clip_name(clip_bytes: int) -> str:
    """A heading for results with finished clips of this size."""
    return f"Clips of {clip_bytes / 1e6:g} MB" if clip_bytes else "Clips as the stand-in draws them, about 0.09 MB"


def page(found: Mapping[int, Sequence[Row]], plan: Plan, rounds: int) -> str:
    """All of RESULTS.md."""
    tables = "\n\n".join(f"### {clip_name(size)}\n\n{table(some)}" for size, some in found.items())
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return f"""# Cinecord beside the floor bot

Written by `python -m bench` on {today}. The floor (`bench/floor.py`) is the least discord.py program that defers, calls
the same API and posts the same file: no database, no queue, no status card, no check of the file.

{tables}

## Machine
{_cpu()}, {os.cpu_count()} cores, {memory:.0f} GB of memory. {platform.system()} {platform.release()}.
Python {platform.python_version()}; {versions}.

## How it was measured
Medians over {rounds} rounds; in each round both bots run one after the other, in turns of order, each as a fresh
subprocess between fresh stand-ins for Discord and Cloudflare on loopback, with Discord's rate limits off. Every job is
`/video generate` with a prompt and 8 s at 480p; the stand-in copies a finished clip, so that rendering costs nothing.
A clip is padded to its size by a box that players skip; the size of the real model's clips is not in our references.
- Before anything counts: {plan.warm_up} jobs.
- Single jobs: {plan.singles}, one after the other, {RENDER_SECONDS:g} s of render each. From the API's answer to the
  posted message, by the stand-ins' clock: the median of a round. CPU: user and system time of the bot and all of its
  worker processes, until it is idle again, by job.
- Burst: {plan.burst} commands within {plan.burst_seconds:g} s, spread over {GUILDS} servers; all are accepted, and
  rendering is held until each has had its first response. The time is the stand-in's, from INTERACTION_CREATE to the
  first response taken; the stand-ins collect no garbage meanwhile. The slowest is of all rounds. CPU by job: from the
  first command until all are posted.
- Peak memory: the largest of samples of the process tree's proportional set size, four a second.

## Why what is missed is missed
- CPU per job: of 14 to 18 ms a job, some 5 are what the floor does too (gateway event, deferral, the call, taking the
  upload, the post). The rest is what the floor has not: four more requests to Discord (the private answer, the status
  card, its end, and the card's change while it waits), about 0.9 ms each; some ten transactions with their commits to
  disk, about 4 ms; five log lines, about 1 ms. The floor's total is so small that each of these alone is a large ratio.
  With larger clips, moving the bytes outweighs them.
- First response in the burst: 100 requests a second, each with 10 ms of work after its deferral, fill one core, so a
  deferral waits for its turn on the event loop. It stays a fraction of Discord's 3 s.

## What is not measured
Networks and TLS (loopback has neither, so what a bot does itself weighs more here than it would outside); waiting for
Discord's rate limits; pictures and source videos; a database that has been filled for years; the first job after a
start, when the decoding process is still to be started.
"""


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
