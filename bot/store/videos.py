"""The library: finished clips, found again by their id, by their message, or by what a member types."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Select, select, update

from bot.store.database import Database
from bot.store.records import Video
from bot.store.tables import videos

LINEAGE_LIMIT = 25
_KEPT = videos.c.deleted_at.is_(None)


class Videos:
    """Queries over the table of videos. A deleted video keeps its row, for lineage, but is not handed out."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._db = database
        self._clock = clock

    async def get(self, video_id: str, *, guild_id: int) -> Video | None:
        """A video of this guild that is not deleted. Ids of other guilds' videos find nothing."""
        query = select(videos).where(videos.c.id == video_id, videos.c.guild_id == guild_id)
        return _one(await self._db.read(lambda connection: _rows(connection, query.where(_KEPT))))

    async def recent(self, guild_id: int, *, search: str = "", limit: int = 25) -> list[Video]:
        """A guild's newest videos whose prompt contains `search`, newest first."""
        query = select(videos).where(videos.c.guild_id == guild_id, _KEPT, videos.c.message_id.is_not(None))
        if search:
            query = query.where(videos.c.prompt.icontains(search, autoescape=True))
        query = query.order_by(videos.c.created_at.desc()).limit(limit)
        return await self._db.read(lambda connection: _rows(connection, query))

    async def lineage(self, video: Video) -> list[Video]:
        """The video's ancestors, oldest first, deleted ones too, at most 25."""

        def work(connection: Connection) -> list[Video]:
            chain: list[Video] = []
            parent_id = video.parent_id
            while parent_id and len(chain) < LINEAGE_LIMIT:
                parent = _one(_rows(connection, select(videos).where(videos.c.id == parent_id)))
                if parent is None or parent.guild_id != video.guild_id:
                    break
                chain.append(parent)
                parent_id = parent.parent_id
            return chain[::-1]

        return await self._db.read(work)

    async def measure(self, video_id: str, *, seconds: float, width: int, height: int, size: int) -> None:
        """Write down what a look at the file has shown."""
        measured = update(videos).where(videos.c.id == video_id)
        measured = measured.values(seconds=seconds, width=width, height=height, size=size)
        await self._db.write(lambda connection: connection.execute(measured).close())

    async def mark_deleted(self, video_id: str) -> bool:
        """Take a video out of the library; False where somebody else already has."""
        gone = update(videos).where(videos.c.id == video_id, _KEPT).values(deleted_at=int(self._clock() * 1000))
        return await self._db.write(lambda connection: connection.execute(gone).rowcount == 1)


def _rows(connection: Connection, query: Select[Any]) -> list[Video]:
    return [Video.from_row(row) for row in connection.execute(query).mappings()]


def _one(found: list[Video]) -> Video | None:
    return found[0] if found else None
