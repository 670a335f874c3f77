"""Who waits for an upload is told when it is in storage, if it came in through this process."""

import asyncio
from contextlib import suppress

from bot.store.records import Job, Video

Rendered = tuple[Job, Video]


class Arrivals:
    """One future a job, for as long as somebody waits."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Rendered]] = {}

    def expect(self, job_id: str) -> "asyncio.Future[Rendered]":
        """What becomes done when the job's video is in storage and the job is rendered."""
        return self._futures.setdefault(job_id, asyncio.get_running_loop().create_future())

    def forget(self, job_id: str) -> None:
        """Nobody waits any more."""
        self._futures.pop(job_id, None)

    def arrived(self, rendered: Rendered) -> None:
        """The job is rendered."""
        future = self._futures.get(rendered[0].id)
        if future is not None and not future.done():
            future.set_result(rendered)

    async def wait(self, job_id: str, *, seconds: float) -> None:
        """Return when the job's video arrives, or after `seconds`: uploads may also come in elsewhere."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.shield(self.expect(job_id))
