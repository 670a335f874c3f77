"""From a claimed job to a video in storage: the one paid call, and what its answer means for the job's money.

The money rule (DESIGN.md, "A job's life"): a call that may have been charged is never repeated. After an unknown
outcome, here or in a process before this one, the video is looked for until the render timeout is over.
"""

import asyncio
import base64
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from bot.arrivals import Arrivals, Rendered
from bot.cloudflare import (
    After,
    Answer,
    Charged,
    CloudflareClient,
    DownloadFailed,
    LogEntry,
    LookupFailed,
    ModelError,
    Unknown,
)
from bot.config import CloudflareSettings, QueueSettings
from bot.decoders import scratch_folder
from bot.errors import CinecordError, StorageError
from bot.model import Request, end_user_id
from bot.storage import Storage
from bot.store.database import StoreError
from bot.store.jobs import Jobs
from bot.store.records import Job, Settled, State, Video
from bot.store.videos import Videos

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

ATTEMPTS = 6
"""How often a call that was answered "not charged, try later" is repeated (DESIGN.md)."""
LONGEST_DELAY = 3600.0
VIDEO_BYTES = 500 * 1000 * 1000
"""The largest result that is taken. 15 s at 1080p are well under 100 MB."""
DATA_URL_BYTES = 20 * 1000 * 1000
"""What is sent inside the request where nothing outside can reach the storage."""
POLL_SECONDS = 2.0
PAUSE_SECONDS = 1.0
"""After an error of the store, before the next try."""
DOWNLOADS = 3
"""How often the link of an answer is tried: that costs nothing."""
LOOKUP_SECONDS = 30.0
UPLOAD_GRACE = 10.0
"""How long an upload may come in after the answer. The API answers when the upload is done."""

NOT_CHARGED = frozenset({400, 401, 402, 403, 404, 413, 429, 503})
"""Statuses that prove that a call was not charged (Cloudflare's table of errors)."""

SETTLED = {Charged.NO: Settled.RELEASED, Charged.YES: Settled.CHARGED, Charged.MAYBE: Settled.POSSIBLY_CHARGED}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job as it is after the call: rendered (then with its video), failed, queued again, or still submitted.

    Submitted means that the outcome is not known: `recover` looks for it, which takes long and needs no paid call.
    """

    job: Job
    video: Video | None = None


class Renderer:
    """Takes submitted jobs to rendered, failed, or back in line. `clock` gives Unix seconds."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        videos: Videos,
        storage: Storage,
        cloudflare: CloudflareClient,
        arrivals: Arrivals,
        settings: CloudflareSettings,
        queue: QueueSettings,
        end_user_key: bytes,
        scratch: Path,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._jobs = jobs
        self._storage = storage
        self._cloudflare = cloudflare
        self._videos = videos
        self._answering: set[asyncio.Task[Outcome | None]] = set()
        self._arrivals = arrivals
        self._settings = settings
        self._queue = queue
        self._end_user_key = end_user_key
        self._scratch = scratch
        self._clock = clock
        self._jitter = jitter

    async def render(self, job: Job) -> Outcome | None:
        """Make the paid call for a job that was claimed a moment ago; returns what became of it.

        None: another process has taken the job on.
        """
        if job.attempts > 1 and await self._has_come(job):
            # An earlier attempt said "try later", and yet its video is here: paid once is enough.
            return await self._keep(job)
        try:
            upload_url = await self._upload_url(job)
            given = await self._input(job, upload_url)
        except CinecordError as error:
            log.warning("job.not_sent", **job.log_context, cause=error.cause)
            return await self._fail(job, "preparation failed", error.sentence, Settled.RELEASED)
        log.info("job.submitted", **job.log_context, attempt=job.attempts)
        arrival = self._arrivals.expect(job.id)
        call = asyncio.create_task(self._call(job, given, arrival, awaited=upload_url is not None))
        try:
            await asyncio.wait({call, arrival}, return_when=asyncio.FIRST_COMPLETED)
            if not arrival.done():
                return await call
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            self._arrivals.forget(job.id)
        # The upload says all that the answer would; the call is left to end by itself, for its line in the log.
        self._answering.add(call)
        call.add_done_callback(self._answering.discard)
        return Outcome(*arrival.result())

    async def recover(self, job: Job) -> Outcome | None:
        """Look for the outcome of a call that is over, or was an earlier process's. Never calls the model."""
        log.warning("job.recovering", **job.log_context)
        try:
            return await self._search(job)
        finally:
            self._arrivals.forget(job.id)

    async def arrived(self, job_id: str) -> None:
        """The model has uploaded this job's video: the job is rendered before the upload is acknowledged.

        Raises:
            StoreError, StorageError: it is not noted; whoever waits for the job looks for the file.
        """
        size = await self._storage.size(Job.key_of(job_id))
        rendered = None if size is None else await self._jobs.rendered(job_id, size=size)
        if rendered is None:
            # Its job is over, or was ended as "outcome unknown" before this came.
            log.warning("job.arrived_late", job=job_id)
            return
        log.info("job.rendered", **rendered[0].log_context, bytes=size)
        self._arrivals.arrived(rendered)

    async def aclose(self) -> None:
        """Leave the calls whose videos have arrived."""
        for call in self._answering:
            call.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    async def _call(
        self, job: Job, given: dict[str, object], arrival: "asyncio.Future[Rendered]", *, awaited: bool
    ) -> Outcome | None:
        try:
            answer = await self._cloudflare.run(given, job_id=job.id, guild_id=job.guild_id, attempt=job.attempts)
        except ModelError as error:
            if arrival.done():
                log.warning("job.answered_badly", **job.log_context, cause=error.cause)
                return None
            return await self._after_error(job, error, awaited=awaited)
        log.info("job.answered", **job.log_context, log_id=answer.log_id)
        return None if arrival.done() else await self._collect(job, answer, uploaded=awaited)

    # --- before the call

    async def _upload_url(self, job: Job) -> str | None:
        # The right to upload must outlive the longest render, and the way there.
        seconds = int(self._settings.timeout_seconds) + 300
        return await self._storage.upload_url(job.video_key, job_id=job.id, seconds=seconds, max_bytes=VIDEO_BYTES)

    async def _input(self, job: Job, upload_url: str | None) -> dict[str, object]:
        urls = {key: await self._url(key) for key in _media(job.request)}
        user = end_user_id(self._end_user_key, job.user_id)
        return job.request.to_input(urls.__getitem__, user=user, upload_url=upload_url)

    async def _url(self, key: str) -> str:
        seconds = int(self._settings.timeout_seconds) + 300
        size = await self._storage.size(key)
        if size is None:
            raise StorageError(f"{key} is gone")
        if url := await self._storage.read_url(key, seconds=seconds):
            return url
        if size > DATA_URL_BYTES:
            raise StorageError(f"{key} has {size} bytes, too many to send inside the request: set http.public_url")
        async with self._storage.local(key) as path:
            try:
                return await asyncio.to_thread(_data_url, path)
            except OSError as error:
                raise StorageError(f"{key}: {error}") from error

    # --- after the call

    async def _collect(self, job: Job, answer: Answer, *, uploaded: bool) -> Outcome | None:
        if uploaded and await self._in_storage(job, until=self._clock() + UPLOAD_GRACE):
            return await self._keep(job)
        if answer.video_url is not None and await self._downloaded(job, answer.video_url):
            return await self._keep(job)
        if uploaded:
            return Outcome(job)
        text = DownloadFailed("").sentence
        return await self._fail(job, "download failed", text, Settled.CHARGED)

    async def _downloaded(self, job: Job, url: str) -> bool:
        for _ in range(DOWNLOADS):
            try:
                async with scratch_folder(self._scratch) as folder:
                    path = folder / "video.mp4"
                    await self._cloudflare.download(url, path, max_bytes=VIDEO_BYTES)
                    await self._storage.save(job.video_key, path)
            except (CinecordError, OSError) as error:
                log.error("job.download_failed", **job.log_context, cause=str(error))
            else:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _after_error(self, job: Job, error: ModelError, *, awaited: bool) -> Outcome | None:
        log.warning("job.refused", **job.log_context, cause=error.cause, charged=error.charged.value)
        if isinstance(error.retry, Unknown):
            return Outcome(job) if awaited else await self._lost(job)
        if isinstance(error.retry, After) and job.attempts <= ATTEMPTS:
            delay = self._delay(job.attempts, error.retry.seconds)
            log.info("job.requeued", **job.log_context, seconds=round(delay, 1))
            queued = await self._committed(job, lambda: self._jobs.requeue(job.id, delay=delay))
            return Outcome(queued) if queued is not None else None
        return await self._fail(job, _reason(error), error.sentence, SETTLED[error.charged])

    def _delay(self, attempts: int, retry_after: float | None) -> float:
        if retry_after is not None:
            return min(retry_after, LONGEST_DELAY)
        # Jitter of a half to one and a half: many jobs that were refused together must not come back together.
        return min(self._queue.retry_base_seconds * 2 ** (attempts - 1), LONGEST_DELAY) * (0.5 + self._jitter())

    # --- looking for a video that may have been paid for

    async def _search(self, job: Job) -> Outcome | None:
        deadline = (job.submitted_at or job.created_at) / 1000 + self._settings.timeout_seconds
        next_lookup = self._clock()
        while True:
            if await self._in_storage(job, until=min(deadline, next_lookup)):
                return await self._keep(job)
            # Asked once at least, even where the render timeout was over before this process began.
            if await self._refused_by_log(job):
                text = "The video was refused while the bot was away. Nothing was charged; press Retry to ask again."
                return await self._fail(job, "refused", text, Settled.RELEASED)
            if self._clock() >= deadline:
                return await self._lost(job)
            next_lookup = self._clock() + LOOKUP_SECONDS

    async def _in_storage(self, job: Job, *, until: float) -> bool:
        while True:
            try:
                if await self._storage.size(job.video_key) is not None:
                    return True
            except StorageError as error:
                # An outage of the storage says nothing about the video: go on looking.
                log.warning("job.storage_unreachable", **job.log_context, cause=error.cause)
            left = until - self._clock()
            if left <= 0:
                return False
            await self._arrivals.wait(job.id, seconds=min(left, POLL_SECONDS))

    async def _has_come(self, job: Job) -> bool:
        return await self._committed(job, lambda: self._storage.size(job.video_key)) is not None

    async def _refused_by_log(self, job: Job) -> bool:
        try:
            entry = await self._cloudflare.find_log(
                job.id, since=(job.submitted_at or job.created_at) / 1000, attempt=job.attempts
            )
        except LookupFailed as error:
            log.info("job.lookup_failed", **job.log_context, cause=error.cause)
            return False
        return entry is not None and _proves_not_charged(entry)

    async def _lost(self, job: Job) -> Outcome | None:
        text = (
            "The bot lost touch with the video service before the answer came, and the video has not arrived. "
            "It may have been charged. Press Retry to ask again, which is a new charge."
        )
        log.error("job.outcome_unknown", **job.log_context)
        return await self._fail(job, "outcome unknown", text, Settled.POSSIBLY_CHARGED)

    # --- ending

    async def _keep(self, job: Job) -> Outcome | None:
        size = await self._committed(job, lambda: self._storage.size(job.video_key)) or 0
        rendered = await self._committed(job, lambda: self._jobs.rendered(job.id, size=size))
        if rendered is not None:
            log.info("job.rendered", **job.log_context, bytes=size)
            return Outcome(*rendered)
        # The upload was noted as it came in.
        now = await self._committed(job, lambda: self._jobs.get(job.id))
        video = await self._committed(job, lambda: self._videos.get(job.id, guild_id=job.guild_id))
        return Outcome(now, video) if now is not None and now.state is State.RENDERED else None

    async def _fail(self, job: Job, reason: str, text: str, settled: Settled) -> Outcome | None:
        log.info("job.failed", **job.log_context, reason=reason, money=settled.value)
        failed = await self._committed(
            job, lambda: self._jobs.fail(job.id, State.SUBMITTED, reason=reason, text=text, settled=settled)
        )
        return Outcome(failed) if failed is not None else None

    async def _committed(self, job: Job, write: Callable[[], Awaitable[_T]]) -> _T:
        """What came of a call is known here only: an outage of the database is waited out."""
        while True:
            try:
                return await asyncio.shield(write())
            except (StoreError, StorageError) as error:
                log.error("job.not_noted", **job.log_context, cause=error.cause)
            await asyncio.sleep(PAUSE_SECONDS)


def _reason(error: ModelError) -> str:
    # OutOfCredits → "out of credits": the error's own name is the shortest true reason.
    return re.sub(r"(?<!^)([A-Z])", r" \1", type(error).__name__).lower()


def _proves_not_charged(entry: LogEntry) -> bool:
    return not entry.success and entry.status_code in NOT_CHARGED and not entry.cost


def _media(request: Request) -> list[str]:
    keys = [key for key in (request.image, *request.reference_images) if key]
    return [*keys, request.video.key] if request.video is not None else keys


def _data_url(path: Path) -> str:
    kinds = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4"}
    return f"data:{kinds[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
