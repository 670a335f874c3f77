"""A queue with a clock to turn, and requests to put into it."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select

from bot.config import QueueSettings
from bot.model import Operation, Request
from bot.store.database import Database
from bot.store.jobs import Jobs
from bot.store.records import Job, NewJob

NOVEMBER = 1_795_000_000_000
"""2026-11-18, in milliseconds."""

_NUMBERS = itertools.count()


@dataclass
class Clock:
    """Milliseconds that go on by one at each look."""

    now: int = NOVEMBER

    def __call__(self) -> int:
        self.now += 1
        return self.now


@dataclass
class Queue:
    """A queue over a database of its own connections, and a clock to turn."""

    jobs: Jobs
    database: Database
    clock: Clock = field(default_factory=Clock)

    async def accept(self, user: int = 1, guild: int = 1, **given: Any) -> Job:
        return (await self.jobs.accept(new_job(user, guild, **given))).job

    async def claimed(self, user: int = 1, guild: int = 1, **given: Any) -> Job:
        await self.accept(user, guild, **given)
        job = await self.jobs.claim(room=1)
        assert job is not None
        return job

    async def rows(self, table: Table) -> list[dict[str, Any]]:
        return await self.database.read(
            lambda connection: [dict(row) for row in connection.execute(select(table)).mappings()]
        )


def new_job(user: int = 1, guild: int = 1, **given: Any) -> NewJob:
    values: dict[str, Any] = {
        "guild_id": guild,
        "channel_id": guild * 10,
        "user_id": user,
        "request": Request(operation=Operation.GENERATE, prompt="a fox"),
        "request_key": f"key-{next(_NUMBERS)}",
        "price": 640_000,
        "upload_limit": 10 << 20,
    }
    return NewJob(**(values | given))


def limits(**given: int) -> QueueSettings:
    wide = {"per_guild_running": 50, "per_guild_waiting": 500, "per_user_running": 50, "per_user_waiting": 500}
    return QueueSettings.model_validate(wide | given)


def url_of(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"
