"""The dispatcher: takes each guild's queue in turn, has the model called, and posts the result.

One loop claims; each claimed job runs as a task of its own, so a slow render or an outage of Discord holds up nobody
else. What an earlier process left unfinished is taken up first, by the money rule (bot/rendering.py).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from discord.ext import commands

from bot.client import Cinecord
from bot.rendering import Outcome
from bot.store.database import StoreError
from bot.store.records import Job, Settled, State, Video
from cogs.delivery import Delivery, FileGone, Undeliverable
from cogs.status import StatusCards

log = structlog.get_logger(__name__)

POLL_SECONDS = 30.0
"""The slow look for work, behind the quick wake-ups."""
PAUSE_SECONDS = 1.0
"""After an error of the store, before the next try."""
CRASH_SECONDS = 5.0
LONGEST_CRASH_SECONDS = 600.0
"""Before a job is taken up again that ran into a mistake of the program."""
GRACE_SECONDS = 20.0
"""How long a stop waits for jobs at work."""


class Dispatch(commands.Cog):
    """One a process. `bot.dispatching` False loads it without starting it, for tests of the other cogs."""

    def __init__(self, bot: Cinecord) -> None:
        self.bot = bot
        self._services = bot.services
        self._delivery = Delivery(bot)
        self._work = asyncio.Event()
        self._due = 0.0
        self._may_claim = True
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._calling: set[str] = set()
        self._cards = StatusCards(bot)

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
        await self._cards.aclose()
        tasks = list(self._running.values())
        if tasks:
            log.info("dispatch.stopping", running=len(self._running), seconds=GRACE_SECONDS)
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        log.info("dispatch.stopped", left=sum(task.cancelled() for task in tasks))

    # --- the loop

    @commands.Cog.listener()
    async def on_job_waiting(self) -> None:
        """A job has come in."""
        self._may_claim = True
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
                self._may_claim, seconds = True, PAUSE_SECONDS
            except Exception:
                # The outermost edge of the loop: it must outlive whatever went wrong once.
                log.exception("dispatch.crashed")
                self._may_claim, seconds = True, PAUSE_SECONDS
            await self._rest(seconds)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._work.wait()
        except TimeoutError:
            return

    async def _recover(self) -> None:
        jobs = self._services.jobs
        unfinished, without_card, ended = await jobs.unfinished(), await jobs.without_card(), await jobs.last_ended()
        for job in unfinished:
            self._start(job, self._resume(job))
        for job in without_card:
            self._start(job, self._note_card(job))
        for job in ended:
            self._start(job, self._end_card(job))

    async def _end_card(self, job: Job) -> None:
        # The last process may have been killed between a job's end and the last word on its card. Both are safe twice.
        job = await self._cards.find(job)
        if job.state is State.POSTED:
            await self._cards.remove(job)
        elif job.state is State.FAILED and job.card_message_id is not None:
            await self._cards.tell_failure(job)

    async def _claim_all(self) -> float:
        # Asked only when something may be due: it is one look at the database for each job otherwise.
        if self._due <= asyncio.get_running_loop().time():
            due = await self._services.jobs.wake_delayed()
            self._due = asyncio.get_running_loop().time() + min(POLL_SECONDS if due is None else due, POLL_SECONDS)
            self._may_claim = True
        limit = self._services.settings.queue.max_running
        # Only paid calls count: a post that waits for Discord, or a search for a lost video, must hold up nobody else.
        while self._may_claim and not self._stopping and len(self._calling) < limit:
            self._may_claim = False  # before the claim: a job that comes in meanwhile sets it again
            job = await self._services.jobs.claim(room=limit - len(self._calling))
            self._may_claim = self._may_claim or self._services.jobs.work_left
            if job is None:
                break
            self._calling.add(job.id)
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
        wait = CRASH_SECONDS
        while True:
            try:
                await work
            except Exception:
                # The outermost edge of a job. It goes on from what was committed, as at a start.
                log.exception("job.crashed", **job.log_context)
            else:
                return
            self._calling.discard(job.id)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_CRASH_SECONDS)
            work = self._again(job.id)

    async def _again(self, job_id: str) -> None:
        job = await self._services.jobs.get(job_id)
        if job is not None and job.state in {State.SUBMITTED, State.RENDERED}:
            await self._resume(job)

    # --- one job

    async def _run(self, job: Job) -> None:
        if self._services.jobs.work_left:
            self._cards.refresh_line(job.guild_id)
        # Beside the render, and beside the post: a card waits for Discord's limits, and nothing waits for a card.
        card = asyncio.create_task(self._cards.show(job))
        try:
            try:
                outcome = await self._services.renderer.render(job)
            finally:
                self._calling.discard(job.id)
                self._work.set()
            await self._go_on(outcome)
        finally:
            await asyncio.wait([card])

    async def _resume(self, job: Job) -> None:
        await self._note_card(job)
        if job.state is State.SUBMITTED:
            await self._go_on(await self._services.renderer.recover(job))
            return
        video = await self._services.videos.get(job.id, guild_id=job.guild_id)
        await self._deliver(job, video, again=True)

    async def _note_card(self, job: Job) -> None:
        found = await self._cards.find(job)
        if job.card_message_id is None and found.card_message_id is not None:
            try:
                await self._services.jobs.set_card(job.id, found.card_message_id)
            except StoreError as error:
                log.warning("card.not_noted", **job.log_context, cause=error.cause)

    async def _go_on(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        job = outcome.job
        if job.state is State.SUBMITTED:
            await self._go_on(await self._services.renderer.recover(job))
        elif job.state is State.RENDERED:
            if job.submitted_at and job.rendered_at:
                self._services.metrics.render_seconds.observe((job.rendered_at - job.submitted_at) / 1000)
            await self._deliver(job, outcome.video, again=False)
        elif job.state is State.FAILED:
            await self._tell_failure(job)
        elif job.state is State.QUEUED:
            self._due = 0.0
            self._work.set()
            await self._cards.show(job)

    async def _deliver(self, job: Job, video: Video | None, *, again: bool) -> None:
        try:
            if video is None:
                raise FileGone(job.id)
            posted = await self._delivery.deliver(job, video, again=again)
        except Undeliverable as error:
            log.error("job.undeliverable", **job.log_context, cause=error.cause)
            failed = await self._services.jobs.fail(
                job.id, State.RENDERED, reason="undeliverable", text=error.sentence, settled=Settled.CHARGED
            )
            if failed is not None:
                await self._tell_failure(failed)
            return
        now = await asyncio.shield(self._note_posted(job, posted.channel_id, posted.message_id))
        await self._cards.remove(now or job)

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
        await self._cards.card_came_late(job)

    @commands.Cog.listener()
    async def on_line_moved(self, guild_id: int) -> None:
        """Somebody left the line."""
        self._cards.refresh_line(guild_id)

    async def _tell_failure(self, job: Job) -> None:
        self._services.metrics.jobs.labels(state=State.FAILED.value).inc()
        await self._cards.tell_failure(job)


async def setup(bot: Cinecord) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Dispatch(bot))
