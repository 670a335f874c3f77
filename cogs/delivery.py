"""Posting a finished video exactly once, by the bot token alone: no interaction, no gateway connection is needed.

The message carries the job's own nonce, so that Discord drops a double within minutes of the first; before a second
try, and after a restart, the channel's recent messages are searched for the job's buttons, which also holds later.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import discord
import structlog

from bot.client import Cinecord
from bot.errors import CinecordError, StorageError
from bot.store.records import Job, Video
from cogs import text
from cogs.buttons import video_mark
from cogs.cards import LINK_DAYS, video_post
from cogs.finding import find_message
from cogs.outages import LONGEST_PAUSE, NETWORK, passes

log = structlog.get_logger(__name__)

TOO_LARGE = 40005
"""Discord's code for a file over the upload limit; its status is 413."""
DIRECT_MESSAGE_LIMIT = 10 * 1024 * 1024

TROUBLE = (*NETWORK, StorageError)
"""What passes by itself: Discord or the storage is out of reach."""


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a video was posted."""

    channel_id: int
    message_id: int


class Undeliverable(CinecordError):
    """No channel takes the video, nor does its requester take direct messages."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            "The video is made and paid for, but Discord lets me post it neither in that channel nor to you directly. "
            f"It is kept: the bot's operator can hand it out, by its id {job_id}."
        )


class FileGone(Undeliverable):
    """The video's file is not in storage any more: somebody has removed it by hand."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.sentence = "The video was made and paid for, but its file is gone from the bot's storage."
        self.cause = f"the file of video {job_id} is not in storage"


class Delivery:
    """Posts videos. `pause` waits between tries, in seconds; tests make it short."""

    def __init__(self, bot: Cinecord, *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._bot = bot
        self._pause = pause

    async def deliver(self, job: Job, video: Video, *, again: bool) -> Posted:
        """Post the video in its channel, or else in a direct message to its requester.

        `again`: an earlier process may have posted it. Goes on trying for as long as Discord is out of reach.

        Raises:
            Undeliverable: nobody takes it, or it is not there any more.
        """
        wait = 1.0
        while True:
            try:
                return await self._deliver(job, video, again=again)
            except (*TROUBLE, discord.HTTPException) as error:
                log.warning("post.failed", **job.log_context, cause=repr(error), seconds=wait)
            await self._pause(wait)
            wait, again = min(wait * 2, LONGEST_PAUSE), True

    async def _deliver(self, job: Job, video: Video, *, again: bool) -> Posted:
        channel = self._bot.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        try:
            found = await _find(channel, job) if again else None
            message = found or await self._post(channel, job, video, limit=job.upload_limit)
        except discord.HTTPException as error:
            if passes(error):
                raise
            log.warning("post.refused", **job.log_context, channel=job.channel_id, cause=str(error))
            message = await self._write_to_member(job, video)
        # A video that went by direct message stays at home in its channel, where it can be chosen as a source.
        return Posted(job.channel_id, message.id)

    async def _write_to_member(self, job: Job, video: Video) -> discord.Message:
        try:
            channel = await self._bot.create_dm(discord.Object(job.user_id))
            found = await _find(channel, job)
            return found or await self._post(channel, job, video, limit=DIRECT_MESSAGE_LIMIT)
        except discord.HTTPException as error:
            if passes(error):
                raise
            raise Undeliverable(job.id) from error

    async def _post(self, channel: discord.abc.Messageable, job: Job, video: Video, *, limit: int) -> discord.Message:
        if video.size <= limit:
            try:
                return await self._post_file(channel, job, video)
            except discord.HTTPException as error:
                if error.status != 413 and error.code != TOO_LARGE:
                    raise
                log.warning("post.too_large", **job.log_context, bytes=video.size, limit=limit)
        link = await self._bot.services.storage.read_url(video.key, seconds=LINK_DAYS * 24 * 3600)
        return await self._send(channel, job, video_post(job, video, file_name=None, link=link))

    async def _post_file(self, channel: discord.abc.Messageable, job: Job, video: Video) -> discord.Message:
        name = f"cinecord-{job.id}.mp4"
        if await self._bot.services.storage.size(video.key) is None:
            raise FileGone(job.id)
        async with self._bot.services.storage.local(video.key) as path:
            view = video_post(job, video, file_name=name)
            return await self._send(channel, job, view, file=discord.File(path, filename=name))

    async def _send(
        self, channel: discord.abc.Messageable, job: Job, view: discord.ui.LayoutView, **file: Any
    ) -> discord.Message:
        # Two different messages of one job (with the file, without it) must not count as the same.
        nonce = f"{'cc' if file else 'cl'}-{job.id}"
        return await channel.send(view=view, nonce=nonce, allowed_mentions=text.ping_only(job.user_id), **file)


async def _find(channel: discord.abc.Messageable, job: Job) -> discord.Message | None:
    return await find_message(channel, video_mark(job.id), since=job.rendered_at or job.created_at)
