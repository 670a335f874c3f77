"""The library: finished clips, found again by their id, by their message, or by what a member types."""

import time
from collections.abc import Callable

from sqlalchemy import select, update

from bot.store.database import Database
from bot.store.records import Video
from bot.store.tables import videos

LINEAGE_LIMIT = 25


class Videos:
    """Queries over the table of videos. A deleted video keeps its row, for lineage, but is not handed out."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._db = database
        self._clock = clock

    async def get(self, video_id: str, *, guild_id: int) -> Video | None:
        """A video of this guild that is not deleted. Ids of other guilds' videos find nothing."""
        where = select(videos).where(videos.c.id == video_id, videos.c.guild_id == guild_id)
        async with self._db.read() as connection:
            found = (await connection.execute(where.where(videos.c.deleted_at.is_(None)))).mappings().one_or_none()
        return Video.from_row(found) if found else None

    async def recent(self, guild_id: int, *, search: str = "", limit: int = 25) -> list[Video]:
        """A guild's newest videos whose prompt contains `search`, newest first."""
        query = select(videos).where(
            videos.c.guild_id == guild_id, videos.c.deleted_at.is_(None), videos.c.message_id.is_not(None)
        )
        if search:
            query = query.where(videos.c.prompt.icontains(search, autoescape=True))
        async with self._db.read() as connection:
            found = await connection.execute(query.order_by(videos.c.created_at.desc()).limit(limit))
            return [Video.from_row(row) for row in found.mappings()]

    async def lineage(self, video: Video) -> list[Video]:
        """The video's ancestors, oldest first, deleted ones too, at most 25."""
        chain: list[Video] = []
        parent_id = video.parent_id
        async with self._db.read() as connection:
            while parent_id and len(chain) < LINEAGE_LIMIT:
                found = (
                    (await connection.execute(select(videos).where(videos.c.id == parent_id))).mappings().one_or_none()
                )
                if found is None or found["guild_id"] != video.guild_id:
                    break
                chain.append(Video.from_row(found))
                parent_id = chain[-1].parent_id
        return chain[::-1]

    async def mark_deleted(self, video_id: str) -> bool:
        """Take a video out of the library; False where somebody else already has."""
        async with self._db.write() as connection:
            changed = await connection.execute(
                update(videos)
                .where(videos.c.id == video_id, videos.c.deleted_at.is_(None))
                .values(deleted_at=int(self._clock() * 1000))
            )
        return changed.rowcount == 1
