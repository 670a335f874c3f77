"""One round with one bot, and the numbers of a round."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.stage import Contender, Stage


@dataclass(frozen=True)
class Plan:
    """How much is done in a round: warming up, single jobs, and `burst` interactions within `burst_seconds`."""

    warm_up: int
    singles: int
    burst: int
    burst_seconds: float


FULL = Plan(warm_up=5, singles=30, burst=200, burst_seconds=2.0)
CLIPS = (0, 1_500_000)
"""Sizes of the finished clip in bytes: as the stand-in draws it (about 90 KB), and that of 8 s at 1.5 Mbit/s."""
QUICK = Plan(warm_up=2, singles=5, burst=40, burst_seconds=0.4)


@dataclass(frozen=True)
class Round:
    """Times in seconds, memory in bytes."""

    response_p50: float
    response_p99: float
    response_slowest: float
    answer_to_post: float
    cpu_single: float
    cpu_burst: float
    memory: float
    requests: float


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


async def measure(contender: Contender, plan: Plan, folder: Path, *, clip_bytes: int) -> Round:
    """Start the bot, warm it up, and take one round's numbers."""
    async with Stage(contender, folder, clip_bytes=clip_bytes) as stage:
        for _ in range(plan.warm_up):
            await stage.job()
        await stage.settle()
        cpu, requests = stage.cpu_seconds(), stage.requests
        delays = [await stage.job() for _ in range(plan.singles)]
        await stage.settle()
        cpu_single, requests = stage.cpu_seconds() - cpu, stage.requests - requests
        cpu = stage.cpu_seconds()
        responses = await stage.burst(plan.burst, plan.burst_seconds)
        await stage.settle()
        if stage.discord.violations:
            raise RuntimeError(f"{contender.name} broke Discord's rules: {stage.discord.violations[:3]}")
        return Round(
            response_p50=percentile(responses, 50),
            response_p99=percentile(responses, 99),
            response_slowest=max(responses),
            answer_to_post=statistics.median(delays),
            cpu_single=cpu_single / plan.singles,
            cpu_burst=(stage.cpu_seconds() - cpu) / plan.burst,
            memory=stage.memory.bytes,
            requests=requests / plan.singles,
        )
