"""The dispatcher: takes each guild's queue in turn, has the model called, and posts the result.

One loop claims; each claimed job runs as a task of its own, so a slow render or an outage of Discord holds up nobody
else. What an earlier process left unfinished is taken up first, by the money rule (bot/rendering.py).
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

import aiohttp
import discord
import structlog
from discord.ext import commands

from bot.client import Cinecord
from bot.errors import CinecordError
from bot.rendering import Outcome
from bot.store.database import StoreError
from bot.store.records import Job, Settled, State, Video
from cogs import text
from cogs.cards import failure_card, status_card
from cogs.delivery import Delivery, Undeliverable

log = structlog.get_logger(__name__)

POLL_SECONDS = 30.0
"""The slow look for work, behind the quick wake-ups."""
PAUSE_SECONDS = 1.0
"""After an error of the store, before the next try."""
GRACE_SECONDS = 20.0
"""How long a stop waits for jobs at work."""
CARDS = 10
"""Cards of waiting jobs that are kept up to date in one guild."""
CARD_SECONDS = 2.0
"""The least time between two rounds of updates in one guild: Discord allows few edits a channel."""


class Dispatch(commands.Cog):
    """One a process. `bot.dispatching` False loads it without starting it, for tests of the other cogs."""

    def __init__(self, bot: Cinecord) -> None:
        self.bot = bot
        self._services = bot.services
        self._delivery = Delivery(bot)
        self._work = asyncio.Event()
        self._due = 0.0
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._told_without_card: deque[str] = deque(maxlen=1000)
        self._cards: dict[int, asyncio.Task[None]] = {}
        self._places: dict[int, dict[str, int]] = {}

    async def cog_load(self) -> None:
        """Start the loop. Posting needs the login, not the gateway, so there is nothing else to wait for."""
        if self.bot.dispatching:
            self._loop = asyncio.create_task(self._dispatch())

    async def cog_unload(self) -> None:
        """Claim no more; give the jobs at work their time; what is left is taken up at the next start."""
        self._stopping = True
        self._work.set()
        if self._loop is not None:
            await self._loop
        tasks = [*self._running.values(), *self._cards.values()]
        if self._running:
            log.info("dispatch.stopping", running=len(self._running), seconds=GRACE_SECONDS)
            await asyncio.wait(self._running.values(), timeout=GRACE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        log.info("dispatch.stopped", left=sum(task.cancelled() for task in tasks))

    # --- the loop

    @commands.Cog.listener()
    async def on_job_waiting(self) -> None:
        """A job has come in."""
        self._work.set()

    async def _dispatch(self) -> None:
        recovered = False
        while not self._stopping:
            self._work.clear()
            try:
                if not recovered:
                    await self._recover()
                    recovered = True
                seconds = await self._claim_all()
            except StoreError as error:
                log.error("dispatch.store_failed", cause=error.cause)
                seconds = PAUSE_SECONDS
            except Exception:
                # The outermost edge of the loop: it must outlive whatever went wrong once.
                log.exception("dispatch.crashed")
                seconds = PAUSE_SECONDS
            await self._rest(seconds)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._work.wait()
        except TimeoutError:
            return

    async def _recover(self) -> None:
        for job in await self._services.jobs.unfinished():
            self._start(job, self._resume(job))

    async def _claim_all(self) -> float:
        # Asked only when something may be due: it is one look at the database for each job otherwise.
        if self._due <= asyncio.get_running_loop().time():
            due = await self._services.jobs.wake_delayed()
            self._due = asyncio.get_running_loop().time() + min(POLL_SECONDS if due is None else due, POLL_SECONDS)
        limit = self._services.settings.queue.max_running
        while not self._stopping:
            job = await self._services.jobs.claim(room=limit - len(self._running))
            if job is None:
                break
            self._start(job, self._run(job))
        return max(0.0, self._due - asyncio.get_running_loop().time())

    def _start(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(job, work), name=f"job {job.id}")
        self._running[job.id] = task
        self._services.metrics.running.set(len(self._running))
        task.add_done_callback(lambda _: self._ended(job))

    def _ended(self, job: Job) -> None:
        self._running.pop(job.id, None)
        self._services.metrics.running.set(len(self._running))
        self._work.set()

    async def _guarded(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            # The outermost edge of a job. Its state is whatever was committed; the next start goes on from there.
            log.exception("job.crashed", **job.log_context)

    # --- one job

    async def _run(self, job: Job) -> None:
        self._refresh_line(job.guild_id)
        card = asyncio.create_task(self._show(job, status_card(job)))
        try:
            outcome = await self._services.renderer.render(job)
        finally:
            # The card's last state must not be overtaken by its first.
            await asyncio.wait([card])
        await self._go_on(outcome)

    async def _resume(self, job: Job) -> None:
        if job.state is State.SUBMITTED:
            await self._go_on(await self._services.renderer.recover(job))
            return
        video = await self._services.videos.get(job.id, guild_id=job.guild_id)
        await self._deliver(job, video, again=True)

    async def _go_on(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        job = outcome.job
        if job.state is State.RENDERED:
            if job.submitted_at and job.rendered_at:
                self._services.metrics.render_seconds.observe((job.rendered_at - job.submitted_at) / 1000)
            await self._deliver(job, outcome.video, again=False)
        elif job.state is State.FAILED:
            await self._tell_failure(job)
        elif job.state is State.QUEUED:
            self._due = 0.0
            self._work.set()
            await self._show(job, status_card(job))

    async def _deliver(self, job: Job, video: Video | None, *, again: bool) -> None:
        if video is None:
            log.error("job.video_missing", **job.log_context)
            return
        try:
            posted = await self._delivery.deliver(job, video, again=again)
        except Undeliverable as error:
            failed = await self._services.jobs.fail(
                job.id, State.RENDERED, reason="undeliverable", text=error.sentence, settled=Settled.CHARGED
            )
            if failed is not None:
                await self._tell_failure(failed)
            return
        now = await asyncio.shield(self._note_posted(job, posted.channel_id, posted.message_id))
        await self._remove_card(now or job)

    async def _note_posted(self, job: Job, channel_id: int, message_id: int) -> Job | None:
        while True:
            try:
                now = await self._services.jobs.posted(job.id, channel_id=channel_id, message_id=message_id)
                break
            except StoreError as error:
                log.error("job.not_noted", **job.log_context, cause=error.cause)
            await asyncio.sleep(PAUSE_SECONDS)
        log.info("job.posted", **job.log_context, message=message_id)
        self._services.metrics.jobs.labels(state=State.POSTED.value).inc()
        return now

    # --- cards

    @commands.Cog.listener()
    async def on_job_changed(self, job: Job) -> None:
        """A card was posted for a job that has moved on meanwhile."""
        if job.state is State.POSTED or job.id in self._told_without_card:
            await self._remove_card(job)
        elif job.state is State.FAILED:
            await self._show(job, failure_card(job))
        elif job.state is not State.CANCELLED:
            await self._show(job, status_card(job))

    @commands.Cog.listener()
    async def on_line_moved(self, guild_id: int) -> None:
        """Somebody left the line."""
        self._refresh_line(guild_id)

    def _refresh_line(self, guild_id: int) -> None:
        if guild_id not in self._cards:
            task = asyncio.create_task(self._update_line(guild_id))
            self._cards[guild_id] = task
            task.add_done_callback(lambda _: self._cards.pop(guild_id, None))

    async def _update_line(self, guild_id: int) -> None:
        # Several moves in a row become one round of edits.
        await asyncio.sleep(CARD_SECONDS)
        try:
            line = await self._services.jobs.line(guild_id)
            places = {job.id: place for place, job in enumerate(line[:CARDS], 1)}
            before = self._places.pop(guild_id, {})
            if places:
                self._places[guild_id] = places
            for job in line[:CARDS]:
                if before.get(job.id) != places[job.id]:
                    await self._show_place(job.id, places[job.id])
        except CinecordError as error:
            log.warning("line.not_shown", guild=guild_id, cause=error.cause)

    async def _show_place(self, job_id: str, place: int) -> None:
        # Claimed or cancelled while other cards were edited: then its card says something newer.
        job = await self._services.jobs.get(job_id)
        if job is not None and job.state is State.QUEUED:
            await self._show(job, status_card(job, place=place))

    async def _tell_failure(self, job: Job) -> None:
        self._services.metrics.jobs.labels(state=State.FAILED.value).inc()
        if await self._show(job, failure_card(job)):
            return
        # Its card may still be on its way; it must not tell the same a second time.
        self._told_without_card.append(job.id)
        channel = self.bot.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        if not await self._send_failure(job, channel):
            await self._send_failure(job, discord.Object(job.user_id))

    async def _send_failure(self, job: Job, to: discord.PartialMessageable | discord.Object) -> bool:
        try:
            channel = await self.bot.create_dm(to) if isinstance(to, discord.Object) else to
            await channel.send(
                view=failure_card(job), nonce=f"cf-{job.id}", allowed_mentions=text.ping_only(job.user_id)
            )
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("failure.not_told", **job.log_context, cause=str(error))
            return False
        return True

    async def _show(self, job: Job, view: discord.ui.LayoutView) -> bool:
        """Put `view` in place of the job's card; False where there is none, or Discord will not."""
        message = self._card(job)
        if message is None:
            return False
        try:
            await message.edit(view=view, allowed_mentions=text.NO_PINGS)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.info("card.not_shown", **job.log_context, cause=str(error))
            return False
        return True

    async def _remove_card(self, job: Job) -> None:
        message = self._card(job)
        if message is None:
            return
        try:
            await message.delete()
        except discord.NotFound:
            return
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.info("card.not_removed", **job.log_context, cause=str(error))

    def _card(self, job: Job) -> discord.PartialMessage | None:
        # Each arrow's record says whether the card is there; who posts it later finds the job's state then (taking.py).
        if job.card_message_id is None:
            return None
        channel = self.bot.get_partial_messageable(job.channel_id, guild_id=job.guild_id)
        return channel.get_partial_message(job.card_message_id)


async def setup(bot: Cinecord) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Dispatch(bot))
