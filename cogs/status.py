"""Keeping status cards true: one change after the other for each job, and the last one not lost to an outage."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from weakref import WeakValueDictionary

import discord
import structlog
from discord import ui

from bot.client import Cinecord
from bot.errors import CinecordError
from bot.store.records import Job, State
from cogs import text
from cogs.buttons import cancel_mark
from cogs.cards import failure_card, status_card
from cogs.finding import find_message
from cogs.outages import LONGEST_PAUSE, NETWORK, passes

log = structlog.get_logger(__name__)

CARDS = 10
"""Cards of waiting jobs that are kept up to date in one guild."""
CARD_SECONDS = 2.0
"""The least time between two rounds of updates in one guild: Discord allows few edits a channel."""
GRACE_SECONDS = 2.0
"""How long a failure waits for its card, which may be on its way."""


class StatusCards:
    """The cards of one process. `pause` waits between tries, in seconds; tests make it short."""

    def __init__(self, bot: Cinecord, *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._bot = bot
        self._pause = pause
        # Edits of one card in their order: a late "being made" must not follow the end.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._over: deque[str] = deque(maxlen=1000)
        self._told_without_card: deque[str] = deque(maxlen=1000)
        self._rounds: dict[int, asyncio.Task[None]] = {}
        self._places: dict[int, dict[str, int]] = {}

    async def find(self, job: Job) -> Job:
        """The job with its card, where the process that posted the card died before writing that down."""
        if job.card_message_id is not None:
            return job
        channel = self._bot.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        try:
            card = await find_message(channel, cancel_mark(job.id), since=job.created_at)
        except (discord.HTTPException, *NETWORK) as error:
            log.warning("card.not_found", **job.log_context, cause=str(error))
            return job
        return replace(job, card_message_id=card.id) if card is not None else job

    async def show(self, job: Job, *, place: int | None = None) -> None:
        """Show where a job is that is not over. Left out where Discord will not: the next change says it anyway."""
        message = self._card(job)
        if message is None:
            return
        async with self._turn(job):
            if job.id in self._over:
                return
            try:
                await message.edit(view=status_card(job, place=place), allowed_mentions=text.NO_PINGS)
            except (discord.HTTPException, *NETWORK) as error:
                log.info("card.not_shown", **job.log_context, cause=str(error))

    async def remove(self, job: Job) -> None:
        """The video is posted: its card goes."""
        message = self._card(job)
        if message is not None:
            await self._finish(job, message.delete)

    async def tell_failure(self, job: Job) -> None:
        """Say on the card, or where there is none in a new message or a direct one, why there is no video."""
        job = await self._with_card(job)
        view = failure_card(job)
        message = self._card(job)
        if message is not None and await self._finish(job, lambda: _edit(message, view)):
            return
        # Its card may still be on its way; it must not tell the same a second time.
        self._told_without_card.append(job.id)
        channel = self._bot.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        if not await self._finish(job, lambda: _send(channel, job, view)):
            await self._finish(job, lambda: self._write(job, view))

    async def _with_card(self, job: Job) -> Job:
        """The job once its card is there, which a very quick failure may be ahead of."""
        if job.card_message_id is not None:
            return job
        await self._pause(GRACE_SECONDS)
        try:
            return await self._bot.services.jobs.get(job.id) or job
        except CinecordError as error:
            log.warning("card.not_looked_up", **job.log_context, cause=error.cause)
            return job

    async def card_came_late(self, job: Job) -> None:
        """A card was posted for a job that had moved on meanwhile."""
        if job.state is State.POSTED or job.id in self._told_without_card:
            await self.remove(job)
        elif job.state is State.FAILED:
            await self.tell_failure(job)
        elif job.state is not State.CANCELLED:
            await self.show(job)

    def refresh_line(self, guild_id: int) -> None:
        """Somebody left a guild's line: those behind have other places now."""
        if guild_id not in self._rounds:
            task = asyncio.create_task(self._refresh(guild_id))
            self._rounds[guild_id] = task
            task.add_done_callback(lambda _: self._rounds.pop(guild_id, None))

    async def aclose(self) -> None:
        """Leave off updating places."""
        rounds = list(self._rounds.values())
        for task in rounds:
            task.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)

    async def _refresh(self, guild_id: int) -> None:
        # Several moves in a row become one round of edits.
        await self._pause(CARD_SECONDS)
        try:
            line = (await self._bot.services.jobs.line(guild_id))[:CARDS]
            places = {job.id: place for place, job in enumerate(line, 1)}
            before = self._places.pop(guild_id, {})
            if places:
                self._places[guild_id] = places
            for job in line:
                if before.get(job.id) != places[job.id]:
                    await self._show_place(job.id, places[job.id])
        except CinecordError as error:
            log.warning("line.not_shown", guild=guild_id, cause=error.cause)

    async def _show_place(self, job_id: str, place: int) -> None:
        # Claimed or cancelled while other cards were edited: then its card says something newer.
        job = await self._bot.services.jobs.get(job_id)
        if job is not None and job.state is State.QUEUED:
            await self.show(job, place=place)

    async def _finish(self, job: Job, change: Callable[[], Awaitable[object]]) -> bool:
        """The last change of a card: waits out an outage. False where Discord refuses it."""
        self._over.append(job.id)
        wait = 1.0
        async with self._turn(job):
            while True:
                try:
                    await change()
                except (discord.HTTPException, *NETWORK) as error:
                    if isinstance(error, discord.HTTPException) and not passes(error):
                        log.info("card.refused", **job.log_context, cause=str(error))
                        return False
                    log.warning("card.outage", **job.log_context, cause=repr(error), seconds=wait)
                else:
                    return True
                await self._pause(wait)
                wait = min(wait * 2, LONGEST_PAUSE)

    def _turn(self, job: Job) -> asyncio.Lock:
        return self._turns.setdefault(job.id, asyncio.Lock())

    def _card(self, job: Job) -> discord.PartialMessage | None:
        # Each arrow's record says whether the card is there; who posts it later finds the job's state then (taking.py).
        if job.card_message_id is None:
            return None
        channel = self._bot.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        return channel.get_partial_message(job.card_message_id)

    async def _write(self, job: Job, view: ui.LayoutView) -> None:
        await _send(await self._bot.create_dm(discord.Object(job.user_id)), job, view)


async def _edit(message: discord.PartialMessage, view: ui.LayoutView) -> None:
    await message.edit(view=view, allowed_mentions=text.NO_PINGS)


async def _send(channel: discord.abc.Messageable, job: Job, view: ui.LayoutView) -> None:
    await channel.send(view=view, nonce=f"cf-{job.id}", allowed_mentions=text.ping_only(job.user_id))
