"""A database in a file, brought up to date, and queues over it."""

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bot.store.database import Database
from bot.store.jobs import Jobs
from bot.store.migrate import upgrade
from tests.bot.parts import until
from tests.bot.store.queues import Clock, Queue, limits, url_of


@pytest.fixture(autouse=True)
async def no_connection_left() -> AsyncIterator[None]:
    """Each connection has a thread, which ends with it."""
    yield
    await until(lambda: not [thread for thread in threading.enumerate() if "_connection_worker" in thread.name])


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(url_of(tmp_path / "cinecord.db"))
    await upgrade(database)
    yield database
    await database.close()


@pytest.fixture
async def make_queue(database: Database) -> AsyncIterator[Callable[..., Queue]]:
    """Queues on one file; `apart` gives one connections of its own, as another process would have."""
    others: list[Database] = []

    def make(*, apart: bool = False, monthly_limit: int = 0, **given: int) -> Queue:
        chosen = Database(str(database.url)) if apart else database
        if apart:
            others.append(chosen)
        clock = Clock()
        return Queue(Jobs(chosen, limits(**given), monthly_limit=monthly_limit, clock=clock), chosen, clock)

    yield make
    for other in others:
        await other.close()


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue()
