"""`python -m bench`: both bots, several rounds, one table. Exits with 1 where a limit is missed."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from bench.measures import CLIPS, FULL, QUICK, Plan, Round, measure
from bench.report import Row, clip_name, page, rows, table
from bench.stage import CINECORD, FLOOR, Contender

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds with each bot and size of clip (default 3)")
    parser.add_argument("--quick", action="store_true", help="few jobs a round, and RESULTS.md stays as it is")
    given = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        parser.error("this needs Linux: CPU time and memory are read from /proc")
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    plan = QUICK if given.quick else FULL
    found: dict[int, list[Row]] = {}
    for clip_bytes in CLIPS[:1] if given.quick else CLIPS:
        taken = asyncio.run(_rounds(plan, given.rounds, clip_bytes))
        found[clip_bytes] = rows(taken[FLOOR], taken[CINECORD])
        print(f"{clip_name(clip_bytes)}\n{table(found[clip_bytes])}")
    if not given.quick:
        RESULTS.write_text(page(found, plan, given.rounds), "utf-8")
    missed = [(size, row) for size, some in found.items() for row in some if row.met is False]
    for size, row in missed:
        figures = f"{row.cinecord:.4g} is {row.ratio:.2f}× the floor's {row.floor:.4g} ({row.limit})"
        print(f"Missed ({clip_name(size)}): {row.text}: {figures}")
    return 1 if missed else 0


async def _rounds(plan: Plan, count: int, clip_bytes: int) -> dict[Contender, list[Round]]:
    taken: dict[Contender, list[Round]] = {FLOOR: [], CINECORD: []}
    for number in range(count):
        # In turns, so that a machine that grows slower or faster favours neither.
        for contender in (FLOOR, CINECORD) if number % 2 == 0 else (CINECORD, FLOOR):
            print(f"round {number + 1} of {count}: {contender.name}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                taken[contender].append(await measure(contender, plan, Path(folder), clip_bytes=clip_bytes))
    return taken


if __name__ == "__main__":
    sys.exit(main())
