"""`python -m bench`: both bots, several rounds, one table. Exits with 1 where a limit is missed."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from bench.measures import FULL, QUICK, Plan, Round, measure
from bench.report import page, rows, table
from bench.stage import CINECORD, FLOOR, Contender

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds with each bot (default 5)")
    parser.add_argument("--quick", action="store_true", help="few jobs a round, and RESULTS.md stays as it is")
    given = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        parser.error("this needs Linux: CPU time and memory are read from /proc")
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    plan = QUICK if given.quick else FULL
    taken = asyncio.run(_rounds(plan, given.rounds))
    found = rows(taken[FLOOR], taken[CINECORD])
    print(table(found))
    if not given.quick:
        RESULTS.write_text(page(found, plan, given.rounds), "utf-8")
    missed = [row for row in found if row.met is False]
    for row in missed:
        print(f"Missed: {row.text}: {row.cinecord:.4g} is {row.ratio:.2f}× the floor's {row.floor:.4g} ({row.limit})")
    return 1 if missed else 0


async def _rounds(plan: Plan, count: int) -> dict[Contender, list[Round]]:
    taken: dict[Contender, list[Round]] = {FLOOR: [], CINECORD: []}
    for number in range(count):
        # In turns, so that a machine that grows slower or faster favours neither.
        for contender in (FLOOR, CINECORD) if number % 2 == 0 else (CINECORD, FLOOR):
            print(f"round {number + 1} of {count}: {contender.name}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                taken[contender].append(await measure(contender, plan, Path(folder)))
    return taken


if __name__ == "__main__":
    sys.exit(main())
