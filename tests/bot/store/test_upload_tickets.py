"""Tickets as rows: one upload, for one job, until a time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bot.storage import Ticket
from bot.store.database import Database
from bot.store.tables import tickets as rows
from bot.store.tickets import Tickets
from tests.bot.store.queues import Queue


@dataclass
class Seconds:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def tickets(database: Database, clock: Seconds) -> Tickets:
    return Tickets(database, clock=clock)


def ticket(job: str = "job-1", expires_at: float = 1_900.5) -> Ticket:
    return Ticket(job_id=job, key=f"videos/{job}.mp4", max_bytes=77, expires_at=expires_at)


async def test_a_ticket_is_taken_once_and_as_it_was_issued(tickets: Tickets) -> None:
    await tickets.issue("hash", ticket())
    assert await tickets.take("hash") == ticket()
    assert await tickets.take("hash") is None
    assert await tickets.take("another") is None


async def test_of_many_takers_at_once_one_gets_it(
    tickets: Tickets, make_queue: Callable[..., Queue], clock: Seconds
) -> None:
    other = Tickets(make_queue(apart=True).database, clock=clock)
    await tickets.issue("hash", ticket())
    taken = await asyncio.gather(*((tickets, other)[number % 2].take("hash") for number in range(10)))
    assert sum(found is not None for found in taken) == 1


async def test_an_expired_ticket_is_not_taken(tickets: Tickets, clock: Seconds) -> None:
    await tickets.issue("hash", ticket())
    clock.now = 1_900.5
    assert await tickets.take("hash") is None
    clock.now = 1_900.4
    assert await tickets.take("hash") is not None


async def test_an_upload_that_broke_off_may_be_tried_again_and_a_stored_one_not(tickets: Tickets) -> None:
    await tickets.issue("hash", ticket())
    await tickets.take("hash")
    await tickets.settle("hash", stored=False)
    assert await tickets.take("hash") is not None
    await tickets.settle("hash", stored=True)
    assert await tickets.take("hash") is None
    await tickets.settle("hash", stored=False)
    assert await tickets.take("hash") is None, "stored stays stored"


async def test_a_newer_ticket_voids_the_jobs_open_one_and_no_other_jobs(tickets: Tickets) -> None:
    await tickets.issue("old", ticket())
    await tickets.issue("other", ticket("job-2"))
    await tickets.issue("new", ticket())
    assert await tickets.take("old") is None
    assert await tickets.take("other") is not None
    assert await tickets.take("new") is not None


async def test_after_a_restart_uploads_under_way_may_be_sent_again(tickets: Tickets, queue: Queue) -> None:
    for name, job in (("taken", "a"), ("stored", "b"), ("open", "c"), ("void", "d"), ("newer", "d")):
        await tickets.issue(name, ticket(job))
    await tickets.take("taken")
    await tickets.take("stored")
    await tickets.settle("stored", stored=True)
    assert await tickets.reopen() == 1
    states = {row["token_hash"]: row["state"] for row in await queue.rows(rows)}
    assert states == {"taken": "open", "stored": "stored", "open": "open", "void": "void", "newer": "open"}
