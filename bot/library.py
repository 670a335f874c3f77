"""What the files of the library are like: looked into when somebody needs to know, not whenever one is posted."""

from pathlib import Path

import structlog

from bot.decoders import Decoders
from bot.errors import CinecordError
from bot.storage import Storage
from bot.store.records import Video
from bot.store.videos import Videos
from bot.videos import filmstrip, probe

log = structlog.get_logger(__name__)


class Library:
    """Facts and pictures of stored videos."""

    def __init__(self, *, videos: Videos, storage: Storage, decoders: Decoders) -> None:
        self._videos = videos
        self._storage = storage
        self._decoders = decoders

    async def measured(self, video: Video) -> Video:
        """The video with its real length and size in pixels; as it was, where the file cannot be read.

        Raises:
            StoreError: the database failed.
        """
        if video.measured:
            return video
        try:
            async with self._storage.local(video.key) as path:
                facts = await self._decoders.run(probe, path)
        except CinecordError as error:
            log.warning("video.unreadable", video=video.id, cause=error.cause)
            return video
        await self._videos.measure(
            video.id, seconds=facts.seconds, width=facts.width, height=facts.height, size=facts.size
        )
        return await self._videos.get(video.id, guild_id=video.guild_id) or video

    async def filmstrip(self, video: Video, out: Path) -> Path | None:
        """A picture of the video's frames, written to `out`; None where the video cannot be read."""
        try:
            async with self._storage.local(video.key) as path:
                return await self._decoders.run(filmstrip, path, out)
        except CinecordError as error:
            log.warning("video.no_filmstrip", video=video.id, cause=error.cause)
            return None
