"""Ids that sort by age, keys that outlive the process, and the records' own small promises."""

import asyncio
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bot.store.database import Database
from bot.store.keys import END_USERS, LINKS, get_key
from bot.store.records import State, new_id
from tests.bot.store.queues import NOVEMBER

FAR = 2**45 - 1  # the year 3084: nine digits of 5 bits hold it
moments = st.integers(0, FAR)


@given(moments, moments)
def test_ids_sort_as_their_times(one: int, other: int) -> None:
    first, second = new_id(one), new_id(other)
    assert len(first) == len(second) == 20
    if one != other:
        assert (first < second) == (one < other)


def test_ids_of_one_millisecond_differ() -> None:
    ids = {new_id(NOVEMBER) for _ in range(10_000)}
    assert len(ids) == 10_000
    assert {name[:9] for name in ids} == {new_id(NOVEMBER)[:9]}
    assert set("".join(ids)) == set("0123456789abcdefghjkmnpqrstvwxyz")


async def test_a_key_is_made_once_and_is_the_same_in_every_process(database: Database, tmp_path: Path) -> None:
    made = await asyncio.gather(*(get_key(database, LINKS) for _ in range(5)))
    assert len(set(made)) == 1
    assert len(made[0]) == 32
    assert await get_key(database, END_USERS) != made[0]
    code = (
        "import asyncio, sys\nfrom bot.store.database import Database\nfrom bot.store.keys import get_key\n"
        "async def main():\n database = Database(sys.argv[1])\n print((await get_key(database, 'links')).hex())\n"
        " await database.close()\nasyncio.run(main())"
    )
    command = [sys.executable, "-c", code, str(database.url)]
    answer = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.strip() == made[0].hex()


def test_only_four_states_are_over() -> None:
    assert {state for state in State if state.over} == {
        State.POSTED,
        State.FAILED,
        State.CANCELLED,
        State.REJECTED,
    }
